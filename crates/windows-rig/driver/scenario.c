/* Scenario: a text that says which devices there are. docs: ../SCENARIOS.md */
#include "rig.h"

static const char *cursor, *limit;

static int is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of the line: key and value of key=value; quotes keep spaces. Returns false at the end of line. */
static int word(char *key, unsigned key_size, char *value, unsigned value_size)
{
    unsigned n = 0;
    int quoted = 0, in_value = 0;
    *key = *value = 0;
    while (cursor < limit && is_space(*cursor)) cursor++;
    if (cursor >= limit || *cursor == '\n' || *cursor == '#') return 0;
    for (; cursor < limit && *cursor != '\n' && (quoted || !is_space(*cursor)); cursor++) {
        if (*cursor == '"') { quoted = !quoted; continue; }
        if (!in_value && *cursor == '=') { key[n] = 0; in_value = 1; n = 0; continue; }
        if (n + 1 < (in_value ? value_size : key_size)) (in_value ? value : key)[n++] = *cursor;
    }
    (in_value ? value : key)[n] = 0;
    return 1;
}

static void next_line(void)
{
    while (cursor < limit && *cursor != '\n') cursor++;
    if (cursor < limit) cursor++;
}

static unsigned long long number(const char *text)
{
    unsigned long long n = 0;
    unsigned base = 10;
    if (text[0] == '0' && text[1] == 'x') { base = 16; text += 2; }
    for (; *text; text++) {
        unsigned digit = *text <= '9' ? *text - '0' : (*text | 32) - 'a' + 10;
        if (digit >= base) break;
        n = n * base + digit;
    }
    return n;
}

static void copy(char *to, unsigned size, const char *from)
{
    unsigned n = strlen(from);
    if (n >= size) n = size - 1;
    memcpy(to, from, n);
    to[n] = 0;
}
#define COPY(to, from) copy(to, sizeof(to), from)

static int is(const char *a, const char *b) { return !strcmp(a, b); }

static unsigned bus_number(const char *name)
{
    static const struct { const char *name; unsigned number; } buses[] = {
        {"scsi", 1}, {"atapi", 2}, {"ata", 3}, {"1394", 4}, {"usb", 7}, {"raid", 8}, {"iscsi", 9},
        {"sas", 10}, {"sata", 11}, {"sd", 12}, {"mmc", 13}, {"virtual", 14}, {"file", 15}, {"nvme", 17}};
    unsigned i;
    for (i = 0; i < sizeof(buses) / sizeof(*buses); i++)
        if (is(buses[i].name, name)) return buses[i].number;
    return 0;
}

static int eject_number(const char *name)
{
    return is(name, "lies") ? RIG_EJECT_LIES : is(name, "unsupported") ? RIG_EJECT_UNSUPPORTED
        : is(name, "paging") ? RIG_EJECT_PAGING : is(name, "busy") ? RIG_EJECT_BUSY
        : is(name, "io-error") ? RIG_EJECT_IO : RIG_EJECT_OK;
}

static struct rig_disk *disk_by_number(int cdrom, unsigned wanted)
{
    unsigned i;
    for (i = 0; i < RIG_DISKS; i++)
        if (state.disks[i].used && state.disks[i].cdrom == cdrom && state.disks[i].number == wanted) return &state.disks[i];
    return NULL;
}

static const char *node_line(void)
{
    char key[RIG_SHORT], value[RIG_LONG];
    struct rig_node *node = NULL;
    unsigned i;
    for (i = 0; i < RIG_NODES && !node; i++) if (!state.nodes[i].used) node = &state.nodes[i];
    if (!node) return "too many nodes";
    node->used = 1;
    node->parent_index = -1;
    node->vetoes = 1000000;
    node->removal_policy = 1;
    while (word(key, sizeof(key), value, sizeof(value))) {
        if (is(key, "id")) COPY(node->id, value);
        else if (is(key, "parent")) COPY(node->parent, value);
        else if (is(key, "capabilities")) node->capabilities = number(value);
        else if (is(key, "removal-policy")) node->removal_policy = number(value);
        else if (is(key, "veto")) node->veto_type = number(value);
        else if (is(key, "vetoes")) node->vetoes = number(value);
        else if (is(key, "veto-name")) COPY(node->veto_name, value);
        else if (is(key, "gone")) node->gone = number(value);
        else if (is(key, "port")) node->port = number(value);
        else if (is(key, "location")) COPY(node->location, value);
        else if (is(key, "problem")) node->problem = number(value);
        else return "node: unknown key";
    }
    for (i = 0; i < RIG_NODES; i++)
        if (state.nodes[i].used && node->parent[0] && is(state.nodes[i].id, node->parent)) node->parent_index = i;
    if (node->parent[0] && node->parent_index < 0) return "node: parent is not above it";
    return NULL;
}

static const char *disk_line(int cdrom)
{
    char key[RIG_SHORT], value[RIG_LONG];
    struct rig_disk *disk = NULL;
    unsigned i;
    for (i = 0; i < RIG_DISKS && !disk; i++) if (!state.disks[i].used) disk = &state.disks[i];
    if (!disk) return "too many disks";
    disk->used = 1;
    disk->cdrom = cdrom;
    disk->node = RIG_NODES;
    disk->media = 1;
    disk->change_count = 1;
    disk->size = 8000000000ull;
    disk->gone_status = (unsigned)STATUS_DEVICE_REMOVED;
    COPY(disk->product, "Disk");
    while (word(key, sizeof(key), value, sizeof(value))) {
        if (is(key, "number")) disk->number = number(value);
        else if (is(key, "node")) {
            for (i = 0; i < RIG_NODES; i++) if (state.nodes[i].used && is(state.nodes[i].id, value)) disk->node = i;
            if (disk->node == RIG_NODES) return "disk: unknown node";
        }
        else if (is(key, "bus")) disk->bus = bus_number(value);
        else if (is(key, "removable")) disk->removable = disk->media_hotplug = number(value);
        else if (is(key, "hotplug")) disk->hotplug = number(value);
        else if (is(key, "protected")) disk->write_protected = number(value);
        else if (is(key, "vendor")) COPY(disk->vendor, value);
        else if (is(key, "product")) COPY(disk->product, value);
        else if (is(key, "serial")) COPY(disk->serial, value);
        else if (is(key, "size")) disk->size = number(value);
        else if (is(key, "eject")) disk->eject = eject_number(value);
        else if (is(key, "eject-refusals")) disk->eject_refusals = number(value);
        else if (is(key, "media")) disk->media = number(value);
        else if (is(key, "removal-locks")) disk->removal_locks = number(value);
        else if (is(key, "performance-ms")) disk->performance_ms = number(value);
        else if (is(key, "not-ready")) disk->not_ready = number(value);
        else if (is(key, "exclusive")) COPY(disk->exclusive, value);
        else if (is(key, "gone")) disk->gone = number(value);
        else if (is(key, "image")) COPY(disk->image, value);
        else if (is(key, "offline")) disk->disk_offline = number(value);
        else if (is(key, "writers")) disk->writers = number(value);
        else if (is(key, "gone-status")) disk->gone_status = number(value);
        else if (is(key, "gone-at")) COPY(disk->gone_at, value);
        else if (is(key, "swap-at")) COPY(disk->swap_at, value);
        else return "disk: unknown key";
    }
    return disk_by_number(cdrom, disk->number) == disk ? NULL : "disk: number used twice";
}

static const char *volume_line(void)
{
    char key[RIG_SHORT], value[RIG_LONG];
    struct rig_volume *volume = NULL;
    unsigned i, cd = 0;
    for (i = 0; i < RIG_VOLUMES && !volume; i++) if (!state.volumes[i].used) volume = &state.volumes[i];
    if (!volume) return "too many volumes";
    volume->used = 1;
    volume->size = 8000000000ull;
    volume->serial = 0x12340000 + (unsigned)(volume - state.volumes);
    volume->mounted = 1;
    COPY(volume->fs, "fat32");
    _snprintf(volume->guid, sizeof(volume->guid), "{5f1d0000-0000-4000-8000-%012x}", (unsigned)(volume - state.volumes) + 1);
    _snprintf(volume->kernel, sizeof(volume->kernel), "\\Device\\HarddiskVolume%u", (unsigned)(volume - state.volumes) + 11);
    while (word(key, sizeof(key), value, sizeof(value))) {
        if (is(key, "letter")) volume->letter = value[0];
        else if (is(key, "disk") || is(key, "cdrom") || is(key, "floppy")) {
            struct rig_disk *disk = disk_by_number(is(key, "cdrom"), number(value));
            if (!disk || volume->disk_count == 4) return "volume: unknown disk";
            volume->disks[volume->disk_count++] = disk - state.disks;
            if (is(key, "cdrom")) { cd = 1; COPY(volume->kernel, disk->kernel); }
            if (is(key, "floppy")) {
                volume->floppy = disk->floppy = 1;
                _snprintf(volume->kernel, sizeof(volume->kernel), "\\Device\\Floppy%u", disk->number);
            }
        }
        else if (is(key, "fs")) COPY(volume->fs, value);
        else if (is(key, "label")) COPY(volume->label, value);
        else if (is(key, "serial")) volume->serial = number(value);
        else if (is(key, "mounts")) COPY(volume->mounts, value);
        else if (is(key, "size")) volume->size = number(value);
        else if (is(key, "read-only")) volume->read_only = number(value);
        else if (is(key, "paging")) volume->paging = number(value);
        else if (is(key, "extents-unknown")) volume->extents_unknown = number(value);
        else if (is(key, "dirty")) volume->dirty = number(value);
        else if (is(key, "mounted")) volume->mounted = number(value);
        else if (is(key, "foreign-handles")) volume->foreign_handles = number(value);
        else if (is(key, "foreign-ms")) volume->foreign_ms = number(value);
        else if (is(key, "locked")) volume->locked_by = number(value) ? (void *)1 : NULL;
        else if (is(key, "open-ms")) volume->open_ms = number(value);
        else if (is(key, "lock-ms")) volume->lock_ms = number(value);
        else if (is(key, "flush-ms")) volume->flush_ms = number(value);
        else if (is(key, "root-ms")) volume->root_ms = number(value);
        else if (is(key, "lock-status")) volume->lock_status = number(value);
        else if (is(key, "refuses-manage")) volume->refuses_manage = number(value);
        else return "volume: unknown key";
    }
    if (!volume->disk_count) return "volume: no disk";
    /* A disc written like a stick is UDF; pressed UDF discs are not modelled. */
    if (cd && strcmp(volume->fs, "udf")) volume->read_only = 1;
    if (!state.disks[volume->disks[0]].media) volume->mounted = 0;
    return NULL;
}

static const char *system_line(void)
{
    char key[RIG_SHORT], value[RIG_LONG];
    while (word(key, sizeof(key), value, sizeof(value))) {
        if (is(key, "restricted")) state.restricted = number(value);
        else if (is(key, "no-console")) state.no_console = number(value);
        else if (is(key, "other-program")) state.other_program = number(value);
        else if (is(key, "stuck-pipes")) state.stuck_pipes = number(value);
        else if (is(key, "protected-process")) state.protected_process = number(value);
        else if (is(key, "current-directory")) COPY(state.current_directory, value);
        else if (is(key, "program")) COPY(state.program, value);
        else if (is(key, "window-title")) COPY(state.window_title, value);
        else if (is(key, "temporary")) COPY(state.temporary, value);
        else if (is(key, "forbids-programs")) state.forbids_programs = number(value);
        else if (is(key, "substituted")) COPY(state.substituted, value);
        else if (is(key, "container")) COPY(state.container, value);
        else if (is(key, "container-busy")) state.container_busy = number(value);
        else return "system: unknown key";
    }
    return NULL;
}

static void name_disks(void)
{
    unsigned i;
    for (i = 0; i < RIG_DISKS; i++) {
        struct rig_disk *disk = &state.disks[i];
        if (!disk->used) continue;
        if (disk->cdrom) _snprintf(disk->kernel, sizeof(disk->kernel), "\\Device\\CdRom%u", disk->number);
        else _snprintf(disk->kernel, sizeof(disk->kernel), "\\Device\\Harddisk%u\\DR%u", disk->number, disk->number);
    }
}

const char *scenario_load(const char *text, unsigned length, char *error, unsigned size)
{
    char key[RIG_SHORT], value[RIG_LONG];
    unsigned line = 0;
    memset(&state, 0, sizeof(state));
    journal_clear();
    cursor = text;
    limit = text + length;
    for (; cursor < limit; next_line()) {
        const char *wrong = NULL;
        line++;
        if (!word(key, sizeof(key), value, sizeof(value))) continue;
        if (is(key, "system")) wrong = system_line();
        else if (is(key, "node")) wrong = node_line();
        else if (is(key, "disk")) wrong = disk_line(0);
        else if (is(key, "cdrom")) wrong = disk_line(1);
        else if (is(key, "volume")) wrong = volume_line();
        else wrong = "unknown kind of line";
        if (wrong) { _snprintf(error, size, "line %u: %s (%s)", line, wrong, key); return error; }
        name_disks();
    }
    return NULL;
}
