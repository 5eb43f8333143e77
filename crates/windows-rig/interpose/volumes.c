/* Volumes: enumeration, names, mount points, file systems. */
#include "interpose.h"

struct search { unsigned next; HANDLE real; };

static BOOL there(struct rig_state *state, unsigned i)
{
    return i < RIG_VOLUMES && state->volumes[i].used && !state->disks[state->volumes[i].disks[0]].gone;
}

static BOOL next_volume(struct search *search, WCHAR *name, DWORD units)
{
    struct rig_state *state = get_state();
    while (search->next < RIG_VOLUMES && !there(state, search->next)) search->next++;
    if (search->next < RIG_VOLUMES) {
        swprintf(name, units, L"\\\\?\\Volume%hs\\", state->volumes[search->next++].guid);
        free(state);
        return TRUE;
    }
    free(state);
    if (search->real) return FindNextVolumeW(search->real, name, units);
    search->real = FindFirstVolumeW(name, units);
    if (search->real != INVALID_HANDLE_VALUE) return TRUE;
    search->real = NULL;
    return fail(ERROR_NO_MORE_FILES);
}

HANDLE WINAPI rig_FindFirstVolumeW(WCHAR *name, DWORD units)
{
    struct search *search = calloc(1, sizeof(*search));
    if (next_volume(search, name, units)) return search;
    free(search);
    return INVALID_HANDLE_VALUE;
}

BOOL WINAPI rig_FindNextVolumeW(HANDLE search, WCHAR *name, DWORD units)
{
    return next_volume(search, name, units);
}

BOOL WINAPI rig_FindVolumeClose(HANDLE handle)
{
    struct search *search = handle;
    if (search->real) FindVolumeClose(search->real);
    free(search);
    return TRUE;
}

BOOL WINAPI rig_GetVolumePathNamesForVolumeNameW(const WCHAR *name, WCHAR *room, DWORD units, DWORD *needed)
{
    struct rig_state *state = get_state();
    struct place place;
    WCHAR list[RIG_LONG * 2] = {0};
    DWORD at = 0;
    BOOL ours = find_place(state, name, &place) && place.volume;
    if (ours) {
        char mounts[RIG_LONG], *one;
        if (place.volume->letter) at += swprintf(list, RIG_LONG, L"%c:\\", place.volume->letter) + 1;
        strcpy(mounts, place.volume->mounts);
        for (one = strtok(mounts, ";"); one; one = strtok(NULL, ";")) {
            wide(one, list + at, RIG_LONG - at);
            at += wcslen(list + at) + 1;
        }
        at += at ? 1 : 2;
    }
    free(state);
    if (!ours) return GetVolumePathNamesForVolumeNameW(name, room, units, needed);
    if (needed) *needed = at;
    if (units < at) return fail(ERROR_MORE_DATA);
    memcpy(room, list, at * sizeof(WCHAR));
    return TRUE;
}

/* A letter of subst: its root is a folder, and no mount point. */
static BOOL is_substituted(const struct rig_state *state, const WCHAR *path)
{
    return state->substituted[0] && towupper(path[0]) == (WCHAR)state->substituted[0] && path[1] == ':';
}

BOOL WINAPI rig_GetVolumeNameForVolumeMountPointW(const WCHAR *point, WCHAR *room, DWORD units)
{
    struct rig_state *state = get_state();
    struct place place;
    BOOL ours = find_place(state, point, &place) && place.volume;
    if (is_substituted(state, point)) {
        free(state);
        return fail(ERROR_INVALID_PARAMETER);
    }
    if (ours) swprintf(room, units, L"\\\\?\\Volume%hs\\", place.volume->guid);
    free(state);
    return ours ? TRUE : GetVolumeNameForVolumeMountPointW(point, room, units);
}

BOOL WINAPI rig_GetVolumePathNameW(const WCHAR *path, WCHAR *room, DWORD units)
{
    struct rig_state *state = get_state();
    struct place place;
    BOOL ours = find_place(state, path, &place) && place.volume;
    if (is_substituted(state, path)) swprintf(place.root, RIG_LONG, L"%c:\\", state->substituted[0]);
    free(state);
    if (!ours) return GetVolumePathNameW(path, room, units);
    if (wcslen(place.root) >= units) return fail(ERROR_FILENAME_EXCED_RANGE);
    wcscpy(room, place.root);
    return TRUE;
}

/* Opens the root folder, which mounts the volume. */
static BOOL touch_root(struct place *place)
{
    HANDLE root;
    strcpy(place->path, "\\");
    root = open_place(place, SYNCHRONIZE, 3);
    if (root == INVALID_HANDLE_VALUE) return FALSE;
    CloseHandle(root);
    return TRUE;
}

BOOL WINAPI rig_GetVolumeInformationW(const WCHAR *root, WCHAR *label, DWORD label_units, DWORD *serial, DWORD *longest,
                                      DWORD *flags, WCHAR *system, DWORD system_units)
{
    struct rig_state *state = get_state();
    struct place place;
    char name[16];
    BOOL ok;
    if (!find_place(state, root, &place) || !place.volume) {
        free(state);
        return GetVolumeInformationW(root, label, label_units, serial, longest, flags, system, system_units);
    }
    ok = touch_root(&place);
    if (ok && !strcmp(place.volume->fs, "raw")) ok = fail(ERROR_UNRECOGNIZED_VOLUME);
    if (ok && !strcmp(place.volume->fs, "bitlocker")) ok = fail(0x80310000); /* FVE_E_LOCKED_VOLUME */
    if (ok) {
        strcpy(name, place.volume->fs);
        if (strcmp(name, "exfat")) _strupr(name);
        else strcpy(name, "exFAT");
        if (label) wide(place.volume->label, label, label_units);
        if (serial) *serial = place.volume->serial;
        if (longest) *longest = 255;
        if (flags) *flags = place.volume->read_only ? 0x00080000 : 0;
        if (system) wide(name, system, system_units);
    }
    free(state);
    return ok;
}

BOOL WINAPI rig_GetDiskFreeSpaceExW(const WCHAR *root, ULARGE_INTEGER *mine, ULARGE_INTEGER *total, ULARGE_INTEGER *free_)
{
    struct rig_state *state = get_state();
    struct place place;
    BOOL ok;
    if (!find_place(state, root, &place) || !place.volume) {
        free(state);
        return GetDiskFreeSpaceExW(root, mine, total, free_);
    }
    ok = touch_root(&place);
    if (ok && mine) mine->QuadPart = place.volume->size / 2;
    if (ok && total) total->QuadPart = place.volume->size;
    if (ok && free_) free_->QuadPart = place.volume->size / 2;
    free(state);
    return ok;
}

UINT WINAPI rig_GetDriveTypeW(const WCHAR *root)
{
    struct rig_state *state = get_state();
    struct place place;
    UINT type = 0;
    if (root && find_place(state, root, &place) && place.volume) {
        const struct rig_disk *disk = &state->disks[place.volume->disks[0]];
        type = disk->cdrom ? DRIVE_CDROM : disk->removable || place.volume->floppy ? DRIVE_REMOVABLE : DRIVE_FIXED;
    }
    free(state);
    return type ? type : GetDriveTypeW(root);
}

DWORD WINAPI rig_GetLogicalDrives(void)
{
    struct rig_state *state = get_state();
    DWORD letters = GetLogicalDrives();
    unsigned i;
    for (i = 0; i < RIG_VOLUMES; i++)
        if (there(state, i) && state->volumes[i].letter) letters |= 1u << (state->volumes[i].letter - 'A');
    if (state->substituted[0]) letters |= 1u << (state->substituted[0] - 'A');
    free(state);
    return letters;
}

/* Device names that Wine's own list of names does not have. */
static DWORD all_names(struct rig_state *state, WCHAR *room, DWORD units)
{
    DWORD at = QueryDosDeviceW(NULL, room, units);
    unsigned i;
    if (!at || at + RIG_DISKS * 24 > units) return fail(ERROR_INSUFFICIENT_BUFFER);
    at--; /* the NUL that ends the list */
    for (i = 0; i < RIG_DISKS; i++) {
        const struct rig_disk *disk = &state->disks[i];
        if (!disk->used || disk->gone) continue;
        at += swprintf(room + at, 24, disk->cdrom ? L"CdRom%u" : L"PhysicalDrive%u", disk->number) + 1;
    }
    room[at++] = 0;
    return at;
}

DWORD WINAPI rig_QueryDosDeviceW(const WCHAR *name, WCHAR *room, DWORD units)
{
    struct rig_state *state = get_state();
    struct place place;
    DWORD length = 0;
    if (!name) length = all_names(state, room, units);
    else if (is_substituted(state, name) && !name[2])
        length = swprintf(room, units, L"\\??\\%hs", state->substituted + 2) + 2;
    else if (!find_place(state, name, &place) || place.path[0]) length = QueryDosDeviceW(name, room, units);
    else {
        const char *kernel = place.volume ? place.volume->kernel : place.disk->kernel;
        if (strlen(kernel) + 2 > units) fail(ERROR_INSUFFICIENT_BUFFER);
        else {
            wide(kernel, room, units);
            length = strlen(kernel) + 2;
            room[length - 1] = 0;
        }
    }
    free(state);
    return length;
}
