/* Which device of the scenario a path leads to. */
#include "interpose.h"

static BOOL is_gone(struct rig_state *state, struct rig_volume *volume)
{
    return state->disks[volume->disks[0]].gone;
}

static BOOL at_volume(struct rig_volume *volume, const WCHAR *root, const WCHAR *rest, struct place *place)
{
    place->volume = volume;
    wcsncpy(place->root, root, RIG_LONG - 1);
    if (volume->letter) swprintf(place->device, RIG_SHORT, L"\\\\.\\%c:", volume->letter);
    else swprintf(place->device, RIG_SHORT + 8, L"\\\\.\\Volume%hs", volume->guid);
    narrow(rest, place->path, sizeof(place->path));
    return TRUE;
}

/* The text after a prefix in any case, or NULL. */
static const WCHAR *after(const WCHAR *text, const WCHAR *prefix)
{
    size_t length = wcslen(prefix);
    return _wcsnicmp(text, prefix, length) ? NULL : text + length;
}

static BOOL in_mount_folder(struct rig_volume *volume, const WCHAR *path, struct place *place)
{
    char list[RIG_LONG];
    WCHAR folder[RIG_LONG];
    char *one;
    strcpy(list, volume->mounts);
    for (one = strtok(list, ";"); one; one = strtok(NULL, ";")) {
        const WCHAR *rest;
        wide(one, folder, RIG_LONG);
        if (folder[wcslen(folder) - 1] == '\\') folder[wcslen(folder) - 1] = 0;
        rest = after(path, folder);
        if (rest && (!*rest || *rest == '\\')) {
            wcscat(folder, L"\\");
            return at_volume(volume, folder, *rest ? rest : L"\\", place);
        }
    }
    return FALSE;
}

BOOL find_place(struct rig_state *state, const WCHAR *path, struct place *place)
{
    const WCHAR *name = path, *rest;
    WCHAR text[RIG_LONG], real[RIG_LONG];
    unsigned i;
    memset(place, 0, sizeof(*place));
    if (after(name, L"\\\\.\\") || after(name, L"\\\\?\\") || after(name, L"\\??\\")) name += 4;
    if (state->substituted[0] && towupper(name[0]) == (WCHAR)state->substituted[0] && name[1] == ':') {
        wide(state->substituted + 2, real, RIG_LONG);
        wcscat(real, name + 2);
        name = real;
    }
    for (i = 0; i < RIG_VOLUMES; i++) {
        struct rig_volume *volume = &state->volumes[i];
        if (!volume->used || is_gone(state, volume)) continue;
        swprintf(text, RIG_LONG, L"%c:", volume->letter ? volume->letter : '?');
        rest = after(name, text);
        if (rest && (!*rest || *rest == '\\')) { wcscat(text, L"\\"); return at_volume(volume, text, rest, place); }
        swprintf(text, RIG_LONG, L"Volume%hs", volume->guid);
        rest = after(name, text);
        if (rest && (!*rest || *rest == '\\')) {
            swprintf(text, RIG_LONG, L"\\\\?\\Volume%hs\\", volume->guid);
            return at_volume(volume, text, rest, place);
        }
        if (in_mount_folder(volume, name, place)) return TRUE;
    }
    for (i = 0; i < RIG_DISKS; i++) {
        struct rig_disk *disk = &state->disks[i];
        if (!disk->used || disk->gone) continue;
        swprintf(text, RIG_LONG, disk->cdrom ? L"CdRom%u" : L"PhysicalDrive%u", disk->number);
        if (_wcsicmp(name, text)) swprintf(text, RIG_LONG, L"RIG#Disk%u", i);
        if (_wcsicmp(name, text)) continue;
        place->disk = disk;
        swprintf(place->device, RIG_SHORT, L"\\\\.\\%ls", text);
        return TRUE;
    }
    return FALSE;
}
