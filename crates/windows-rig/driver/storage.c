/* Storage class drivers: medium, tray, motor, and what a device says of itself.
 *
 * Sources: microsoft/Windows-driver-samples 26a27df8, storage/class/classpnp/src/class.c
 * (ClassDeviceControl, ClassInterpretSenseInfo), storage/class/disk; documentation pages of each
 * IOCTL_STORAGE_* and IOCTL_DISK_*; IOCTL_CDROM_EXCLUSIVE_ACCESS for the burner. */
#include "rig.h"

/* A request that wants the medium. A stopped disk answers 02/04/02, and the class driver sends START UNIT
 * (class.c 4906-4923). Returns false with the status where there is no medium. */
int ordinary_request(struct rig_disk *disk, const char *by, NTSTATUS *status)
{
    *status = STATUS_SUCCESS;
    if (disk->gone) *status = (NTSTATUS)disk->gone_status;
    else if (!disk->media) *status = STATUS_NO_MEDIA_IN_DEVICE;
    /* 02/04/01, becoming ready. */
    else if (disk->not_ready) {
        disk->not_ready--;
        *status = STATUS_DEVICE_NOT_READY;
    }
    if (*status) return 0;
    if (disk->stopped) {
        disk->stopped = 0;
        journal("START UNIT %s for %s", disk_name(disk), by);
    }
    return 1;
}

static struct rig_disk *disk_of(const struct handle *handle)
{
    if (handle->disk) return handle->disk;
    return handle->volume ? &state.disks[handle->volume->disks[0]] : NULL;
}

/* RAW (RawCreate) checks sharing on an open of the disk itself. */
static int may_share(const struct handle *new, const struct rig_open *request)
{
    const struct handle *one;
    unsigned wants = (request->access & 0x80000001u ? 1 : 0) | (request->access & 0x50000006u ? 2 : 0);
    if (new->disk->writers && (request->share & 3) != 3) return 0;
    for (one = handles; one; one = one->next) {
        unsigned has = (one->access & 0x80000001u ? 1 : 0) | (one->access & 0x50000006u ? 2 : 0);
        if (one == new || one->disk != new->disk || one->mode != MODE_DISK) continue;
        if ((has & ~request->share) || (wants & ~one->share)) return 0;
    }
    return 1;
}

NTSTATUS open_disk(struct handle *handle, const struct rig_open *request)
{
    struct rig_disk *disk = handle->disk;
    NTSTATUS status = STATUS_SUCCESS;
    int data = (request->access & 0xF0000007u) != 0;
    if (!disk) return STATUS_NO_SUCH_DEVICE;
    if (disk->gone) status = (NTSTATUS)disk->gone_status;
    /* CreateFile, "Physical Disks and Volumes": administrators alone. */
    else if (data && state.restricted && request->role == RIG_ROLE_UNMOOR) status = STATUS_ACCESS_DENIED;
    else if (data && disk->exclusive[0]) status = STATUS_ACCESS_DENIED;
    else if (data && !may_share(handle, request)) status = STATUS_SHARING_VIOLATION;
    handle->access = request->access;
    handle->share = request->share;
    handle->role = request->role;
    if (!status) handle->mode = data ? MODE_DISK : MODE_DIRECT;
    if (data) journal("%sopen %s %s -> %s", request->role == RIG_ROLE_HOLDER ? "holder: " : "", disk_name(disk),
                      request->access & 0x50000006u ? "to write" : "to read", status_name(status));
    return status;
}

static void volumes_lose_medium(struct rig_disk *disk, const char *how)
{
    unsigned i, j;
    for (i = 0; i < RIG_VOLUMES; i++) {
        struct rig_volume *volume = &state.volumes[i];
        for (j = 0; volume->used && j < volume->disk_count; j++) {
            if (&state.disks[volume->disks[j]] != disk) continue;
            if (volume->dirty) journal("DATA LOST: %s %s with unwritten data", volume_name(volume), how);
            else if (volume->mounted) journal("%s %s while mounted", volume_name(volume), how);
            volume->dirty = 0;
            volume->mounted = 0;
            volume->generation++;
        }
    }
}

/* The disk's node leaves the tree, and with it the USB device that it was pulled out with. */
static void remove_nodes(const struct rig_disk *disk, int pulled)
{
    struct rig_node *node = disk->node < RIG_NODES ? &state.nodes[disk->node] : NULL;
    if (!node) return;
    node->gone = 1;
    if (!pulled || node->parent_index < 0) return;
    node = &state.nodes[node->parent_index];
    if (!strncmp(node->id, "USB\\VID", 7)) node->gone = 1;
}

void remove_disk(struct rig_disk *disk, const char *why)
{
    if (disk->gone) return;
    disk->gone = 1;
    remove_nodes(disk, !strcmp(why, "pulled out"));
    journal("%s %s", disk_name(disk), why);
    volumes_lose_medium(disk, why);
    unpublish_disk(disk);
}

void swap_medium(struct rig_disk *disk)
{
    journal("%s: medium swapped", disk_name(disk));
    volumes_lose_medium(disk, "swapped");
    disk->media = 1;
    disk->change_count++;
}

static NTSTATUS check_verify(struct rig_disk *disk, int low_priority)
{
    NTSTATUS status;
    /* CHECK_VERIFY2 is low priority: no START UNIT (class.c 7936). */
    if (low_priority && disk->media && disk->stopped) return STATUS_DEVICE_NOT_READY;
    ordinary_request(disk, low_priority ? "CHECK_VERIFY2" : "CHECK_VERIFY", &status);
    return status;
}

static NTSTATUS eject(struct rig_disk *disk)
{
    if (disk->eject == RIG_EJECT_PAGING) return STATUS_FILES_OPEN; /* class.c 8182 */
    if (disk->eject == RIG_EJECT_BUSY) return STATUS_DEVICE_BUSY;  /* class.c, ProtectedLockCount */
    if (disk->eject == RIG_EJECT_IO) return STATUS_IO_DEVICE_ERROR;
    if (disk->eject == RIG_EJECT_UNSUPPORTED) return STATUS_INVALID_DEVICE_REQUEST;
    if (disk->eject_refusals) { disk->eject_refusals--; return STATUS_IO_DEVICE_ERROR; } /* unit attention, class.c 5723 */
    /* 05/53/02, medium removal prevented: STATUS_INVALID_DEVICE_REQUEST (class.c 5107). */
    if (disk->removal_locks) return STATUS_INVALID_DEVICE_REQUEST;
    if (disk->eject == RIG_EJECT_LIES) return STATUS_SUCCESS;
    if (!disk->removable && !disk->cdrom) { disk->stopped = 1; return STATUS_SUCCESS; }
    if (disk->media) {
        disk->media = 0;
        disk->change_count++;
        volumes_lose_medium(disk, "ejected");
    }
    return STATUS_SUCCESS;
}

static void put(char *buffer, unsigned at, const void *value, unsigned size)
{
    memcpy(buffer + at, value, size);
}

static void put32(char *buffer, unsigned at, unsigned value)
{
    put(buffer, at, &value, 4);
}

/* STORAGE_DEVICE_DESCRIPTOR of ntddstor.h. */
static NTSTATUS descriptor(const struct rig_disk *disk, char *buffer, unsigned out, ULONG_PTR *written)
{
    char answer[256];
    unsigned at = 40;
    memset(answer, 0, sizeof(answer));
    put32(answer, 0, 40);
    answer[8] = disk->cdrom ? 5 : 0;
    answer[10] = disk->removable || disk->cdrom;
    if (disk->vendor[0]) { put32(answer, 12, at); put(answer, at, disk->vendor, strlen(disk->vendor)); at += strlen(disk->vendor) + 1; }
    if (disk->product[0]) { put32(answer, 16, at); put(answer, at, disk->product, strlen(disk->product)); at += strlen(disk->product) + 1; }
    if (disk->serial[0]) { put32(answer, 24, at); put(answer, at, disk->serial, strlen(disk->serial)); at += strlen(disk->serial) + 1; }
    put32(answer, 28, disk->bus);
    put32(answer, 4, at);
    if (out < 8) return STATUS_BUFFER_TOO_SMALL;
    *written = at < out ? at : out;
    put(buffer, 0, answer, *written);
    return STATUS_SUCCESS;
}

/* VOLUME_DISK_EXTENTS of winioctl.h: a count, then number, offset, length of each. */
static NTSTATUS extents(const struct rig_volume *volume, char *buffer, unsigned out, ULONG_PTR *written)
{
    unsigned i;
    if (!volume || volume->extents_unknown || state.disks[volume->disks[0]].cdrom) return STATUS_INVALID_DEVICE_REQUEST;
    if (out < 8 + 24 * volume->disk_count) return STATUS_BUFFER_OVERFLOW;
    memset(buffer, 0, 8 + 24 * volume->disk_count);
    put32(buffer, 0, volume->disk_count);
    for (i = 0; i < volume->disk_count; i++) {
        put32(buffer, 8 + 24 * i, state.disks[volume->disks[i]].number);
        put(buffer, 8 + 24 * i + 16, &volume->size, 8);
    }
    *written = 8 + 24 * volume->disk_count;
    return STATUS_SUCCESS;
}

static unsigned partition_of(const struct rig_volume *volume)
{
    const struct rig_volume *other;
    unsigned number = 1;
    for (other = state.volumes; other < volume; other++) if (other->used && other->disks[0] == volume->disks[0]) number++;
    return number;
}

static NTSTATUS device_number(const struct handle *handle, const struct rig_disk *disk, char *buffer, unsigned out, ULONG_PTR *written)
{
    const struct rig_volume *volume = handle->volume;
    /* A volume over several disks has none (page of IOCTL_STORAGE_GET_DEVICE_NUMBER). */
    if (volume && (volume->disk_count > 1 || volume->extents_unknown)) return STATUS_INVALID_DEVICE_REQUEST;
    if (out < 12) return STATUS_BUFFER_TOO_SMALL;
    put32(buffer, 0, disk->cdrom ? 2 : 7);
    put32(buffer, 4, disk->number);
    put32(buffer, 8, disk->cdrom ? ~0u : !volume ? 0 : disk->removable ? 0 : partition_of(volume));
    *written = 12;
    return STATUS_SUCCESS;
}

static NTSTATUS known(struct handle *handle, struct rig_disk *disk, unsigned code, char *buffer, unsigned in, unsigned out,
                      ULONG_PTR *written)
{
    NTSTATUS status;
    const char *name = disk_name(disk);
    const char *through = handle->volume ? volume_name(handle->volume) : name;
    switch (code) {
    case STORAGE_CHECK_VERIFY:
    case STORAGE_CHECK_VERIFY2:
        if (out && out < 4) return STATUS_BUFFER_TOO_SMALL;
        status = check_verify(disk, code == STORAGE_CHECK_VERIFY2);
        /* class.c ClassCheckVerifyComplete; cdrom.sys fills none in for CHECK_VERIFY2. */
        if (!status && out >= 4 && !(disk->cdrom && code == STORAGE_CHECK_VERIFY2)) {
            put32(buffer, 0, disk->change_count);
            *written = 4;
        }
        return status;
    case STORAGE_MEDIA_REMOVAL:
        if (in < 1) return STATUS_INFO_LENGTH_MISMATCH;
        /* SimpleMediaLock counts what all callers share (IOCTL_STORAGE_MEDIA_REMOVAL). */
        if (buffer[0]) disk->removal_locks++;
        else if (disk->removal_locks) disk->removal_locks--;
        journal("IOCTL_STORAGE_MEDIA_REMOVAL %s %s -> SUCCESS", buffer[0] ? "prevent" : "allow", through);
        return STATUS_SUCCESS;
    case STORAGE_EJECT_MEDIA:
        status = eject(disk);
        journal("IOCTL_STORAGE_EJECT_MEDIA %s -> %s", through, status_name(status));
        return status;
    case STORAGE_LOAD_MEDIA:
    case STORAGE_LOAD_MEDIA2:
        status = disk->cdrom ? STATUS_SUCCESS : STATUS_INVALID_DEVICE_REQUEST;
        if (!status && !disk->media) { disk->media = 1; disk->change_count++; }
        journal("IOCTL_STORAGE_LOAD_MEDIA%s %s -> %s", code == STORAGE_LOAD_MEDIA2 ? "2" : "", through, status_name(status));
        return status;
    case STORAGE_GET_HOTPLUG_INFO:
        if (out < 8) return STATUS_BUFFER_TOO_SMALL;
        put32(buffer, 0, 8);
        buffer[4] = (char)disk->media_hotplug;
        buffer[5] = 0;
        buffer[6] = (char)disk->hotplug;
        buffer[7] = 0;
        *written = 8;
        return STATUS_SUCCESS;
    case STORAGE_GET_DEVICE_NUMBER: return device_number(handle, disk, buffer, out, written);
    case STORAGE_QUERY_PROPERTY:
        if (in < 8 || buffer[0]) return STATUS_INVALID_DEVICE_REQUEST;
        return descriptor(disk, buffer, out, written);
    case VOLUME_GET_DISK_EXTENTS: return extents(handle->volume, buffer, out, written);
    case DISK_GET_DRIVE_GEOMETRY_EX:
        if (disk->cdrom && !ordinary_request(disk, "geometry", &status)) return status;
        if (out < 32) return STATUS_BUFFER_TOO_SMALL;
        memset(buffer, 0, 32);
        put32(buffer, 8, disk->removable ? 11 : 12);
        put32(buffer, 20, 512);
        put(buffer, 24, &disk->size, 8);
        *written = 32;
        return STATUS_SUCCESS;
    case DISK_GET_LENGTH_INFO:
        if (out < 8) return STATUS_BUFFER_TOO_SMALL;
        put(buffer, 0, &disk->size, 8);
        *written = 8;
        return STATUS_SUCCESS;
    case DISK_IS_WRITABLE:
        if (!ordinary_request(disk, "IOCTL_DISK_IS_WRITABLE", &status)) return status;
        return disk->write_protected || disk->cdrom ? STATUS_MEDIA_WRITE_PROTECTED : STATUS_SUCCESS;
    case DISK_PERFORMANCE_ON:
        if (out < 88) return STATUS_BUFFER_TOO_SMALL;
        memset(buffer, 0, 88);
        *written = 88;
        if (!disk->performance_on++) journal("IOCTL_DISK_PERFORMANCE %s", name);
        return STATUS_SUCCESS;
    case DISK_PERFORMANCE_OFF:
        if (disk->performance_on) disk->performance_on--;
        journal("IOCTL_DISK_PERFORMANCE_OFF %s", name);
        return STATUS_SUCCESS;
    case DISK_GET_ATTRIBUTES: {
        unsigned long long attributes = disk->disk_offline ? 1 : 0;
        if (out < 16) return STATUS_BUFFER_TOO_SMALL;
        memset(buffer, 0, 16);
        put32(buffer, 0, 16);
        put(buffer, 8, &attributes, 8);
        *written = 16;
        return STATUS_SUCCESS;
    }
    case VOLUME_IS_OFFLINE:
        return handle->volume && handle->volume->offline ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
    default: return STATUS_INVALID_DEVICE_REQUEST;
    }
}

/* CDROM_EXCLUSIVE_ACCESS with ExclusiveAccessQueryState; answer CDROM_EXCLUSIVE_LOCK_STATE (ntddcdrm.h). */
static NTSTATUS exclusive(const struct rig_disk *disk, char *buffer, unsigned in, unsigned out, ULONG_PTR *written)
{
    unsigned kind;
    if (in < 8) return STATUS_INFO_LENGTH_MISMATCH;
    memcpy(&kind, buffer, 4);
    if (kind != 0) return disk->exclusive[0] ? STATUS_ACCESS_DENIED : STATUS_INVALID_DEVICE_REQUEST;
    /* BOOLEAN LockState; UCHAR CallerName[64]. */
    if (out < 65) return STATUS_BUFFER_TOO_SMALL;
    memset(buffer, 0, 65);
    buffer[0] = disk->exclusive[0] != 0;
    put(buffer, 1, disk->exclusive, strlen(disk->exclusive));
    *written = 65;
    return STATUS_SUCCESS;
}

NTSTATUS storage_control(struct handle *handle, unsigned code, void *buffer, unsigned in, unsigned out, ULONG_PTR *written)
{
    struct rig_disk *disk = disk_of(handle);
    if (!disk) return STATUS_NO_SUCH_DEVICE;
    if (disk->gone) return (NTSTATUS)disk->gone_status;
    /* ntddcdrm.h has the query of the state with FILE_ANY_ACCESS semantics through any handle. */
    if (disk->cdrom && (code & ~0xC000u) == (CDROM_EXCLUSIVE_ACCESS & ~0xC000u)) return exclusive(disk, buffer, in, out, written);
    if (disk->exclusive[0] && code != STORAGE_GET_DEVICE_NUMBER && code != STORAGE_QUERY_PROPERTY && code != STORAGE_GET_HOTPLUG_INFO)
        return STATUS_ACCESS_DENIED;
    return known(handle, disk, code, buffer, in, out, written);
}
