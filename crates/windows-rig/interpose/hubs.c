/* USB hubs: device interfaces, and the request that cycles a port (usbioctl.h). */
#include "interpose.h"
#include <setupapi.h>
#include <cfgmgr32.h>

#define IOCTL_USB_HUB_CYCLE_PORT_ 0x220444
#define HUB_INTERFACE 0xf18a0e88 /* first part of GUID_DEVINTERFACE_USB_HUB */

static struct { HANDLE handle; unsigned node; } opened[8];

BOOL is_hub(const struct rig_node *node)
{
    return node->used && !node->gone && (!strncmp(node->id, "USB\\ROOT_HUB", 12) || strstr(node->id, "HUB"));
}

/* Index of the hub that a path \\?\RIG#Hub5 names; RIG_NODES where it names none. */
static unsigned hub_of(struct rig_state *state, const WCHAR *path)
{
    unsigned i;
    if (_wcsnicmp(path, L"\\\\?\\RIG#Hub", 11)) return RIG_NODES;
    i = _wtoi(path + 11);
    return i < RIG_NODES && is_hub(&state->nodes[i]) ? i : RIG_NODES;
}

HANDLE open_hub(struct rig_state *state, const WCHAR *path, DWORD access)
{
    unsigned node = hub_of(state, path), slot;
    if (node == RIG_NODES) return NULL;
    if (state->restricted && role == RIG_ROLE_UNMOOR && access) {
        SetLastError(ERROR_ACCESS_DENIED);
        return INVALID_HANDLE_VALUE;
    }
    for (slot = 0; slot < 7 && opened[slot].handle; slot++) ;
    opened[slot].node = node;
    return opened[slot].handle = CreateFileW(L"\\\\.\\WindowsRig", GENERIC_READ | GENERIC_WRITE, 3, NULL, OPEN_EXISTING, 0, NULL);
}

/* Returns false where the handle is no hub's. Otherwise the result is in `ok`. */
BOOL hub_control(HANDLE handle, DWORD code, const void *in, DWORD in_size, BOOL *ok)
{
    struct rig_state *state;
    struct rig_node_request request = {RIG_NODES, role, 0, 0};
    unsigned slot, i;
    DWORD port;
    for (slot = 0; slot < 8 && opened[slot].handle != handle; slot++) ;
    if (slot == 8 || !handle) return FALSE;
    *ok = FALSE;
    if (code != IOCTL_USB_HUB_CYCLE_PORT_ || in_size < 8) { SetLastError(ERROR_INVALID_FUNCTION); return TRUE; }
    memcpy(&port, in, 4);
    state = get_state();
    for (i = 0; i < RIG_NODES; i++)
        if (state->nodes[i].used && state->nodes[i].parent_index == (int)opened[slot].node && state->nodes[i].port == port) request.node = i;
    free(state);
    if (request.node == RIG_NODES) SetLastError(ERROR_FILE_NOT_FOUND);
    else *ok = rig_control(RIG_CYCLE_PORT, &request, sizeof(request), NULL, 0, NULL);
    return TRUE;
}

/* Paths of the device interfaces of one node, as a list of texts. */
static ULONG interfaces(const GUID *class, const WCHAR *id, WCHAR *room, ULONG units)
{
    struct rig_state *state = get_state();
    char text[RIG_LONG];
    ULONG at = 0;
    unsigned i;
    narrow(id ? id : L"", text, sizeof(text));
    for (i = 0; i < RIG_NODES; i++) {
        WCHAR path[32];
        ULONG length = swprintf(path, 32, L"\\\\?\\RIG#Hub%u", i) + 1;
        if (class->Data1 != HUB_INTERFACE || !is_hub(&state->nodes[i]) || (text[0] && _stricmp(text, state->nodes[i].id))) continue;
        if (room && at + length < units) wcscpy(room + at, path);
        at += length;
    }
    for (i = 0; i < RIG_DISKS; i++) {
        const struct rig_disk *disk = &state->disks[i];
        WCHAR path[32];
        ULONG length = swprintf(path, 32, L"\\\\?\\RIG#Disk%u", i) + 1;
        if (!disk->used || disk->gone || class->Data1 != (disk->cdrom ? 0x53f56308u : 0x53f56307u)) continue;
        if (text[0] && (disk->node >= RIG_NODES || _stricmp(text, state->nodes[disk->node].id))) continue;
        if (room && at + length < units) wcscpy(room + at, path);
        at += length;
    }
    if (room && at < units) room[at] = 0;
    free(state);
    return at + 1;
}

CONFIGRET WINAPI rig_CM_Get_Device_Interface_List_SizeW(ULONG *length, GUID *class, WCHAR *id, ULONG flags)
{
    (void)flags;
    *length = interfaces(class, id, NULL, 0);
    return CR_SUCCESS;
}

CONFIGRET WINAPI rig_CM_Get_Device_Interface_ListW(GUID *class, WCHAR *id, WCHAR *room, ULONG units, ULONG flags)
{
    (void)flags;
    return interfaces(class, id, room, units) <= units ? CR_SUCCESS : CR_BUFFER_SMALL;
}
