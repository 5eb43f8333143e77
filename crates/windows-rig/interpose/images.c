/* Virtual disks: the files they lie in, and detaching them (virtdisk.h). */
#include "interpose.h"

/* STORAGE_DEPENDENCY_INFO of version 2, with one entry (virtdisk.h). */
struct dependency {
    DWORD version, count;
    DWORD flags, provider_flags;
    DWORD type;
    GUID vendor;
    DWORD level;
    WCHAR *device, *host_volume, *dependent_volume, *path;
    WCHAR texts[2][RIG_LONG];
};

static struct { HANDLE handle; unsigned disk; } opened[8];

/* Index of the disk that a handle of a disk or volume leads to; RIG_DISKS where there is none. */
static unsigned disk_of(struct rig_state *state, HANDLE handle)
{
    STORAGE_DEVICE_NUMBER number;
    DWORD size;
    unsigned i;
    if (!DeviceIoControl(handle, IOCTL_STORAGE_GET_DEVICE_NUMBER, NULL, 0, &number, sizeof(number), &size, NULL)) return RIG_DISKS;
    for (i = 0; i < RIG_DISKS; i++) {
        const struct rig_disk *disk = &state->disks[i];
        if (disk->used && disk->number == number.DeviceNumber && disk->cdrom == (number.DeviceType == 2)) break;
    }
    return i;
}

DWORD WINAPI rig_GetStorageDependencyInformation(HANDLE handle, DWORD flags, ULONG size, struct dependency *info, ULONG *used)
{
    struct rig_state *state = get_state();
    unsigned index = disk_of(state, handle);
    char image[RIG_LONG] = "";
    struct place place = {0};
    (void)flags;
    if (index < RIG_DISKS) strcpy(image, state->disks[index].image);
    if (used) *used = sizeof(*info);
    if (image[0] && size >= sizeof(*info)) {
        WCHAR path[RIG_LONG];
        memset(info, 0, sizeof(*info));
        info->version = 2;
        info->count = 1;
        info->type = state->disks[index].cdrom ? 1 : 3; /* ISO, VHDX */
        find_place(state, wide(image, path, RIG_LONG), &place);
        swprintf(info->texts[0], RIG_LONG, L"\\\\?\\Volume%hs\\", place.volume ? place.volume->guid : "{}");
        wide(image + 2, info->texts[1], RIG_LONG);
        info->device = info->dependent_volume = info->texts[1] + RIG_LONG - 1;
        info->host_volume = info->texts[0];
        info->path = info->texts[1];
    }
    free(state);
    if (!image[0]) return 0xC03A0015; /* ERROR_VIRTDISK_NOT_VIRTUAL_DISK */
    return size < sizeof(*info) ? ERROR_INSUFFICIENT_BUFFER : 0;
}

DWORD WINAPI rig_OpenVirtualDisk(void *type, const WCHAR *path, DWORD mask, DWORD flags, void *parameters, HANDLE *handle)
{
    struct rig_state *state = get_state();
    struct place wanted, place;
    unsigned i, slot;
    DWORD answer = ERROR_FILE_NOT_FOUND;
    (void)type, (void)mask, (void)flags, (void)parameters;
    if (find_place(state, path, &wanted) && wanted.volume)
        for (i = 0; i < RIG_DISKS && answer; i++) {
            WCHAR image[RIG_LONG];
            if (!state->disks[i].used || state->disks[i].gone || !state->disks[i].image[0]) continue;
            if (!find_place(state, wide(state->disks[i].image, image, RIG_LONG), &place) || place.volume != wanted.volume) continue;
            if (_stricmp(place.path, wanted.path)) continue;
            for (slot = 0; slot < 7 && opened[slot].handle; slot++) ;
            opened[slot].handle = *handle = CreateEventW(NULL, TRUE, FALSE, NULL);
            opened[slot].disk = i;
            answer = 0;
        }
    free(state);
    return answer;
}

DWORD WINAPI rig_DetachVirtualDisk(HANDLE handle, DWORD flags, ULONG provider)
{
    unsigned slot;
    (void)flags, (void)provider;
    for (slot = 0; slot < 8; slot++)
        if (opened[slot].handle == handle)
            return rig_control(RIG_DETACH_IMAGE, &opened[slot].disk, 4, NULL, 0, NULL) ? 0 : GetLastError();
    return ERROR_INVALID_HANDLE;
}
