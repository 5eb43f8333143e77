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

/* The volume that an image lies on, as \\?\Volume{...} with its last backslash. */
static void host_volume(struct rig_state *state, const char *image, WCHAR *to)
{
    WCHAR root[4] = {image[0], ':', '\\', 0};
    struct place place;
    to[0] = 0;
    if (find_place(state, root, &place) && place.volume) swprintf(to, RIG_LONG, L"\\\\?\\Volume%hs\\", place.volume->guid);
    else GetVolumeNameForVolumeMountPointW(root, to, RIG_LONG);
}

DWORD WINAPI rig_GetStorageDependencyInformation(HANDLE handle, DWORD flags, ULONG size, struct dependency *info, ULONG *used)
{
    struct rig_state *state = get_state();
    unsigned index = disk_of(state, handle);
    char image[RIG_LONG] = "";
    (void)flags;
    if (index < RIG_DISKS) strcpy(image, state->disks[index].image);
    if (used) *used = sizeof(*info);
    if (image[0] && size >= sizeof(*info)) {
        memset(info, 0, sizeof(*info));
        info->version = 2;
        info->count = 1;
        info->type = state->disks[index].cdrom ? 1 : 3; /* ISO, VHDX */
        host_volume(state, image, info->texts[0]);
        wide(image + 2, info->texts[1], RIG_LONG);
        info->device = info->dependent_volume = info->texts[1] + RIG_LONG - 1;
        info->host_volume = info->texts[0];
        info->path = info->texts[1];
    }
    free(state);
    if (!image[0]) return 0xC03A0015; /* ERROR_VIRTDISK_NOT_VIRTUAL_DISK */
    return size < sizeof(*info) ? ERROR_INSUFFICIENT_BUFFER : 0;
}

/* Returns true if the path names this image, by letter or by volume. */
static BOOL names_image(struct rig_state *state, const char *image, const WCHAR *path)
{
    WCHAR by_letter[RIG_LONG], by_volume[2 * RIG_LONG], rest[RIG_LONG];
    wide(image, by_letter, RIG_LONG);
    host_volume(state, image, by_volume);
    if (by_volume[0]) wcscat(by_volume, wide(image + 3, rest, RIG_LONG));
    return !_wcsicmp(path, by_letter) || !_wcsicmp(path, by_volume);
}

DWORD WINAPI rig_OpenVirtualDisk(void *type, const WCHAR *path, DWORD mask, DWORD flags, void *parameters, HANDLE *handle)
{
    struct rig_state *state = get_state();
    DWORD answer = ERROR_FILE_NOT_FOUND;
    unsigned i, slot;
    (void)type, (void)mask, (void)flags, (void)parameters;
    for (i = 0; i < RIG_DISKS && answer; i++) {
        const struct rig_disk *disk = &state->disks[i];
        if (!disk->used || disk->gone || !disk->image[0] || !names_image(state, disk->image, path)) continue;
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
