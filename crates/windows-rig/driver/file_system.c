/* File systems: opening, locking, dismounting.
 *
 * Sources, of microsoft/Windows-driver-samples 26a27df8: filesys/fastfat create.c (FatOpenVolume,
 * FatCommonCreate), fsctrl.c (FatLockVolume, FatLockVolumeInternal, FatUnlockVolumeInternal,
 * FatDismountVolume, FatIsVolumeMounted), cleanup.c; filesys/cdfs create.c, fsctrl.c. NTFS, exFAT and UDF
 * follow the documentation pages FSCTL_LOCK_VOLUME, FSCTL_DISMOUNT_VOLUME, FSCTL_UNLOCK_VOLUME, CreateFile
 * ("Physical Disks and Volumes") and the security policy "Devices: Allowed to format and eject removable
 * media"; where a page is silent, they do as FAT does. */
#include "rig.h"

#define DATA_ACCESS 0xF0000007u /* GENERIC_* and FILE_READ_DATA, FILE_WRITE_DATA, FILE_APPEND_DATA */
#define WRITE_ACCESS 0x50000006u
#define GENERIC_READ_BIT 0x80000000u

static struct rig_disk *first_disk(const struct rig_volume *volume)
{
    return &state.disks[volume->disks[0]];
}

static int fat(const struct rig_volume *volume)
{
    return !strncmp(volume->fs, "fat", 3);
}

static int ntfs(const struct rig_volume *volume)
{
    return !strcmp(volume->fs, "ntfs");
}

static const char *role_name(unsigned role)
{
    return role == RIG_ROLE_HOLDER ? "holder" : role == RIG_ROLE_IMAGE ? "running program" : "unmoor";
}

/* Handles that the file system counts (OpenFileCount). */
unsigned open_handles(const struct rig_volume *volume, const struct handle *except)
{
    const struct handle *handle;
    unsigned count = volume->foreign_handles, i;
    if (volume->foreign_end && now_ms() >= volume->foreign_end) count = 0;
    /* An attached image is a file that the system keeps open. */
    for (i = 0; i < RIG_DISKS; i++) {
        const struct rig_disk *disk = &state.disks[i];
        if (disk->used && !disk->gone && disk->image[0] && disk->image[0] == volume->letter) count++;
    }
    /* The driver of VeraCrypt has the file open. */
    if (state.container[0] && state.container[2] == volume->letter) count++;
    for (handle = handles; handle; handle = handle->next)
        if (handle != except && handle->volume == volume && (handle->mode == MODE_VOLUME || handle->mode == MODE_FILE))
            count++;
    return count;
}

void write_back(struct rig_volume *volume, const char *by)
{
    NTSTATUS status;
    if (!volume->dirty) return;
    if (!ordinary_request(first_disk(volume), by, &status)) return;
    volume->dirty = 0;
    journal("%s: written back by %s", volume_name(volume), by);
}

/* Everything cached for the volumes of a disk, which is about to leave. */
void write_back_disk(struct rig_disk *disk)
{
    unsigned i;
    for (i = 0; i < RIG_VOLUMES; i++) {
        struct rig_volume *volume = &state.volumes[i];
        if (!volume->used || first_disk(volume) != disk) continue;
        write_back(volume, "query remove");
        volume->mounted = 0;
    }
}

/* IopCheckVpbMounted: a volume is mounted by the first open that goes to its file system, and a locked
 * VPB answers STATUS_ACCESS_DENIED. */
NTSTATUS mount(struct rig_volume *volume, const char *by)
{
    NTSTATUS status;
    if (volume->dismounted_by) return STATUS_VOLUME_DISMOUNTED;
    if (volume->offline) return STATUS_DEVICE_OFF_LINE;
    if (volume->mounted) return STATUS_SUCCESS;
    if (!ordinary_request(first_disk(volume), by, &status)) return status;
    volume->mounted = 1;
    volume->generation++;
    journal("%s: mounted for %s", volume_name(volume), by);
    return STATUS_SUCCESS;
}

static NTSTATUS admit(struct handle *handle, const struct rig_open *request)
{
    struct rig_volume *volume = handle->volume;
    struct rig_disk *disk = first_disk(volume);
    unsigned unmoor = request->role == RIG_ROLE_UNMOOR;
    NTSTATUS status;
    if (disk->gone) return (NTSTATUS)disk->gone_status;
    /* cdrom.sys: a drive in exclusive use (IOCTL_CDROM_EXCLUSIVE_ACCESS) refuses every other handle. */
    if (disk->exclusive[0] && (request->path[0] || request->access & DATA_ACCESS)) return STATUS_ACCESS_DENIED;
    if (!request->path[0] && !(request->access & DATA_ACCESS)) {
        /* IopParseDevice: an open for attributes alone is a direct device open. */
        handle->mode = MODE_DIRECT;
        return STATUS_SUCCESS;
    }
    /* CreateFile, "Physical Disks and Volumes": direct access needs an administrator, except that the
     * device's access list lets interactive users read what is removable. */
    if (!request->path[0] && state.restricted && unmoor
        && (request->access & WRITE_ACCESS || !(disk->removable || disk->cdrom)))
        return STATUS_ACCESS_DENIED;
    if (volume->locked_by) return STATUS_ACCESS_DENIED;
    /* IopMountVolume: the volume itself, without a path, is opened through RAW where no file system
     * mounts, as in a drive without a medium. */
    if (!request->path[0] && !disk->media) {
        handle->mode = MODE_VOLUME;
        handle->generation = volume->generation;
        return STATUS_SUCCESS;
    }
    status = mount(volume, unmoor ? "unmoor" : "holder");
    if (status) return status;
    /* fastfat create.c 2424: opening the volume for data flushes it. */
    if (!request->path[0] && fat(volume)) write_back(volume, "opening");
    handle->mode = request->path[0] ? MODE_FILE : MODE_VOLUME;
    handle->generation = volume->generation;
    return STATUS_SUCCESS;
}

NTSTATUS open_volume(struct handle *handle, const struct rig_open *request)
{
    NTSTATUS status = admit(handle, request);
    handle->access = request->access;
    handle->share = request->share;
    handle->role = request->role;
    memcpy(handle->path, request->path, sizeof(handle->path));
    handle->path[sizeof(handle->path) - 1] = 0;
    if (request->path[0]) {
        if (request->role != RIG_ROLE_UNMOOR || status)
            journal("%s: open %s%s -> %s", role_name(request->role), volume_name(handle->volume), request->path, status_name(status));
    } else if (request->access & DATA_ACCESS) {
        journal("open %s %s -> %s", volume_name(handle->volume),
                request->access & WRITE_ACCESS ? "to write" : "to read", status_name(status));
    }
    return status;
}

static NTSTATUS manage(const struct handle *handle)
{
    const struct rig_volume *volume = handle->volume;
    if (!volume) return STATUS_INVALID_DEVICE_REQUEST;
    if (first_disk(volume)->gone) return (NTSTATUS)first_disk(volume)->gone_status;
    if (handle->mode == MODE_DIRECT) return STATUS_INVALID_DEVICE_REQUEST;
    /* FatDecodeFileObject must say UserVolumeOpen. */
    if (handle->mode != MODE_VOLUME) return STATUS_INVALID_PARAMETER;
    /* CCB_FLAG_MANAGE_VOLUME_ACCESS, acchksup.c FatExplicitDeviceAccessGranted. */
    if (volume->refuses_manage) return STATUS_INVALID_PARAMETER;
    /* Policy "Devices: Allowed to format and eject removable media": NTFS is administrators' alone. */
    if (ntfs(volume) && state.restricted && handle->role == RIG_ROLE_UNMOOR) return STATUS_ACCESS_DENIED;
    return STATUS_SUCCESS;
}

static NTSTATUS try_lock(struct handle *handle)
{
    struct rig_volume *volume = handle->volume;
    NTSTATUS status = manage(handle);
    if (status) return status;
    if (volume->lock_status) return (NTSTATUS)volume->lock_status;
    if (volume->paging || volume->locked_by) return STATUS_ACCESS_DENIED;
    /* FatVerifyVcb */
    if (handle->generation != volume->generation || volume->dismounted_by) return STATUS_VOLUME_DISMOUNTED;
    /* FatLockVolumeInternal: OpenFileCount must be the asker's own handle alone. */
    if (open_handles(volume, handle)) {
        if (volume->foreign_ms && !volume->foreign_end) volume->foreign_end = now_ms() + volume->foreign_ms;
        return STATUS_ACCESS_DENIED;
    }
    write_back(volume, "locking");
    volume->locked_by = handle;
    return STATUS_SUCCESS;
}

NTSTATUS lock(struct handle *handle)
{
    NTSTATUS status = try_lock(handle);
    if (handle->volume) journal("FSCTL_LOCK_VOLUME %s -> %s", volume_name(handle->volume), status_name(status));
    return status;
}

NTSTATUS unlock(struct handle *handle)
{
    struct rig_volume *volume = handle->volume;
    NTSTATUS status = manage(handle);
    if (!status) {
        status = volume->locked_by == handle ? STATUS_SUCCESS : STATUS_NOT_LOCKED;
        if (!status) volume->locked_by = NULL;
    }
    if (volume) journal("FSCTL_UNLOCK_VOLUME %s -> %s", volume_name(volume), status_name(status));
    return status;
}

NTSTATUS dismount(struct handle *handle)
{
    struct rig_volume *volume = handle->volume;
    NTSTATUS status = manage(handle);
    if (!status && volume->paging) status = STATUS_ACCESS_DENIED;
    if (!status && (volume->dismounted_by || handle->generation != volume->generation)) status = STATUS_VOLUME_DISMOUNTED;
    if (!status) {
        write_back(volume, "dismounting");
        /* FatDismountVolume: the physical dismount waits until this handle closes; every other handle
         * answers STATUS_VOLUME_DISMOUNTED from now on. */
        volume->dismounted_by = handle;
        volume->mounted = 0;
    }
    if (volume) journal("FSCTL_DISMOUNT_VOLUME %s%s -> %s", volume_name(volume),
                        volume->locked_by == handle ? "" : " without a lock", status_name(status));
    return status;
}

NTSTATUS is_mounted(struct handle *handle)
{
    struct rig_volume *volume = handle->volume;
    NTSTATUS status = STATUS_SUCCESS;
    if (!volume || handle->mode == MODE_DIRECT) return STATUS_INVALID_DEVICE_REQUEST;
    if (first_disk(volume)->gone) status = (NTSTATUS)first_disk(volume)->gone_status;
    /* FatIsVolumeMounted calls FatVerifyVcb, which raises. */
    else if (!volume->mounted || handle->generation != volume->generation) status = STATUS_VOLUME_DISMOUNTED;
    journal("FSCTL_IS_VOLUME_MOUNTED %s -> %s", volume_name(volume), status_name(status));
    return status;
}

NTSTATUS flush(struct handle *handle)
{
    struct rig_volume *volume = handle ? handle->volume : NULL;
    NTSTATUS status = STATUS_SUCCESS;
    if (!volume || (handle->mode != MODE_VOLUME && handle->mode != MODE_FILE)) return STATUS_INVALID_DEVICE_REQUEST;
    /* NtFlushBuffersFile wants FILE_WRITE_DATA or FILE_APPEND_DATA. */
    if (!(handle->access & WRITE_ACCESS)) status = STATUS_ACCESS_DENIED;
    else if (first_disk(volume)->gone) status = (NTSTATUS)first_disk(volume)->gone_status;
    else if (!volume->mounted || handle->generation != volume->generation) status = STATUS_VOLUME_DISMOUNTED;
    else write_back(volume, "flushing");
    journal("%s: flush %s -> %s", role_name(handle->role), volume_name(volume), status_name(status));
    return status;
}

NTSTATUS take_offline(struct handle *handle)
{
    struct rig_volume *volume = handle->volume;
    if (!volume) return STATUS_INVALID_DEVICE_REQUEST;
    volume->offline = 1;
    journal("IOCTL_VOLUME_OFFLINE %s -> SUCCESS", volume_name(volume));
    return STATUS_SUCCESS;
}

NTSTATUS take_online(struct handle *handle)
{
    struct rig_volume *volume = handle->volume;
    if (!volume) return STATUS_INVALID_DEVICE_REQUEST;
    if (volume->offline) journal("IOCTL_VOLUME_ONLINE %s -> SUCCESS", volume_name(volume));
    volume->offline = 0;
    return STATUS_SUCCESS;
}

/* The lock and the dismount end with their handle. Then another program may open the volume
 * (FSCTL_DISMOUNT_VOLUME: the system "tries to mount" it "as soon as an attempt is made to access it"). */
void handle_closed(struct handle *handle)
{
    struct rig_volume *volume = handle->volume;
    int held;
    if (!volume || handle->mode == MODE_NONE) return;
    held = volume->locked_by == handle || volume->dismounted_by == handle;
    if (volume->locked_by == handle) {
        volume->locked_by = NULL;
        journal("handle closed: %s unlocked", volume_name(volume));
    }
    if (volume->dismounted_by == handle) {
        volume->dismounted_by = NULL;
        volume->generation++;
        journal("handle closed: %s dismounted for good", volume_name(volume));
        held = 1;
    }
    if (held && state.other_program && !first_disk(volume)->gone && !volume->locked_by) {
        if (!mount(volume, "another program") && !volume->read_only) volume->dirty = 1;
    }
}
