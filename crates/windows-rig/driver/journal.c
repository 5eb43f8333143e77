/* Journal: one line for each request that changes something, and scripted events after a line. */
#include "rig.h"
#include <stdarg.h>

int _vsnprintf(char *room, size_t size, const char *format, va_list arguments);

static char text[65536];
static unsigned length;
static int in_event;

void journal_clear(void)
{
    length = 0;
}

unsigned journal_read(char *room, unsigned size)
{
    unsigned n = length < size ? length : size;
    memcpy(room, text, n);
    return n;
}

/* A drive is pulled out, or its medium swapped, at a given line. */
static void events(const char *line)
{
    unsigned i;
    if (in_event) return;
    in_event = 1;
    for (i = 0; i < RIG_DISKS; i++) {
        struct rig_disk *disk = &state.disks[i];
        if (disk->used && disk->gone_at[0] && !strncmp(line, disk->gone_at, strlen(disk->gone_at))) {
            disk->gone_at[0] = 0;
            remove_disk(disk, "pulled out");
        }
        if (disk->used && disk->swap_at[0] && !strncmp(line, disk->swap_at, strlen(disk->swap_at))) {
            disk->swap_at[0] = 0;
            swap_medium(disk);
        }
    }
    in_event = 0;
}

void journal(const char *format, ...)
{
    char line[400];
    va_list arguments;
    unsigned size;
    va_start(arguments, format);
    _vsnprintf(line, sizeof(line) - 1, format, arguments);
    va_end(arguments);
    line[sizeof(line) - 1] = 0;
    size = strlen(line);
    if (length + size + 1 <= sizeof(text)) {
        memcpy(text + length, line, size);
        length += size;
        text[length++] = '\n';
    }
    events(line);
}

const char *status_name(NTSTATUS status)
{
    static char number[16];
    switch ((unsigned)status) {
    case 0: return "SUCCESS";
    case 0xC0000022: return "ACCESS_DENIED";
    case 0xC000000D: return "INVALID_PARAMETER";
    case 0xC0000010: return "INVALID_DEVICE_REQUEST";
    case 0xC0000013: return "NO_MEDIA_IN_DEVICE";
    case 0xC00000A3: return "DEVICE_NOT_READY";
    case 0xC000026E: return "VOLUME_DISMOUNTED";
    case 0xC000002A: return "NOT_LOCKED";
    case 0xC00002B6: return "DEVICE_REMOVED";
    case 0xC000000E: return "NO_SUCH_DEVICE";
    case 0xC0000056: return "DELETE_PENDING";
    case 0xC0000107: return "FILES_OPEN";
    case 0x80000011: return "DEVICE_BUSY";
    case 0xC0000185: return "IO_DEVICE_ERROR";
    case 0xC0000012: return "WRONG_VOLUME";
    case 0xC0000043: return "SHARING_VIOLATION";
    case 0xC00000A2: return "MEDIA_WRITE_PROTECTED";
    case 0x80000010: return "DEVICE_OFF_LINE";
    default: _snprintf(number, sizeof(number), "%08X", (unsigned)status); return number;
    }
}
