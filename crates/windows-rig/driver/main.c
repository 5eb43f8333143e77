/* Driver: device objects and names of the scenario, and dispatch of requests. */
#include "rig.h"

#define OBJECTS 64
#define LINKS 160

struct rig_state state;
struct handle *handles;

static PDRIVER_OBJECT driver;
static unsigned last_serial;
static FAST_MUTEX mutex;
static struct { char name[RIG_SHORT]; PDEVICE_OBJECT object; } objects[OBJECTS];
static WCHAR links[LINKS][128];
static char link_targets[LINKS][RIG_SHORT];
static unsigned link_count;

unsigned long long now_ms(void)
{
    LARGE_INTEGER time;
    KeQuerySystemTime(&time);
    return time.QuadPart / 10000;
}

const char *volume_name(const struct rig_volume *volume)
{
    static char letter[3] = "?:";
    letter[0] = volume->letter;
    return volume->letter ? letter : volume->kernel + sizeof("\\Device\\") - 1;
}

const char *disk_name(const struct rig_disk *disk)
{
    static char name[RIG_SHORT];
    _snprintf(name, sizeof(name), disk->cdrom ? "CdRom%u" : "PhysicalDrive%u", disk->number);
    return name;
}

static void wide(WCHAR *to, unsigned units, const char *from)
{
    unsigned i;
    for (i = 0; from[i] && i + 1 < units; i++) to[i] = (unsigned char)from[i];
    to[i] = 0;
}

static void make_directory_of(const WCHAR *name)
{
    WCHAR path[128];
    UNICODE_STRING text;
    OBJECT_ATTRIBUTES attributes;
    HANDLE directory;
    unsigned i, last = 0;
    for (i = 0; name[i] && i < 127; i++) { path[i] = name[i]; if (name[i] == '\\') last = i; }
    path[last] = 0;
    RtlInitUnicodeString(&text, path);
    InitializeObjectAttributes(&attributes, &text, OBJ_OPENIF | OBJ_PERMANENT | OBJ_KERNEL_HANDLE, NULL, NULL);
    ZwCreateDirectoryObject(&directory, DIRECTORY_ALL_ACCESS, &attributes);
}

/* Device objects live as long as the driver; each scenario takes them over by name. */
static struct device *object(const char *name, unsigned type)
{
    WCHAR path[128];
    UNICODE_STRING text;
    unsigned i;
    for (i = 0; i < OBJECTS && objects[i].name[0]; i++)
        if (!strcmp(objects[i].name, name)) return objects[i].object->DeviceExtension;
    if (i == OBJECTS) return NULL;
    wide(path, 128, name);
    if (!strncmp(name, "\\Device\\Harddisk", 16) && strncmp(name, "\\Device\\HarddiskV", 17)) make_directory_of(path);
    RtlInitUnicodeString(&text, path);
    if (IoCreateDevice(driver, sizeof(struct device), &text, type, 0, FALSE, &objects[i].object)) return NULL;
    _snprintf(objects[i].name, sizeof(objects[i].name), "%s", name);
    return objects[i].object->DeviceExtension;
}

static void link(const char *name, const char *target)
{
    char path[128];
    WCHAR wide_target[RIG_SHORT];
    UNICODE_STRING from, to;
    if (link_count == LINKS) return;
    _snprintf(path, sizeof(path), "\\DosDevices\\%s", name);
    wide(links[link_count], 128, path);
    wide(wide_target, RIG_SHORT, target);
    RtlInitUnicodeString(&from, links[link_count]);
    RtlInitUnicodeString(&to, wide_target);
    if (IoCreateSymbolicLink(&from, &to)) { journal("rig: no link %s", name); return; }
    _snprintf(link_targets[link_count++], RIG_SHORT, "%s", target);
}

/* Removes the names that lead to this device; all of them without one. */
static void unlink(const char *target)
{
    unsigned i;
    for (i = 0; i < link_count; i++) {
        UNICODE_STRING name;
        if (!links[i][0] || (target && strcmp(link_targets[i], target))) continue;
        RtlInitUnicodeString(&name, links[i]);
        IoDeleteSymbolicLink(&name);
        links[i][0] = 0;
    }
    if (!target) link_count = 0;
}

void unpublish_disk(struct rig_disk *disk)
{
    unsigned i;
    unlink(disk->kernel);
    for (i = 0; i < RIG_VOLUMES; i++) {
        struct rig_volume *volume = &state.volumes[i];
        if (volume->used && &state.disks[volume->disks[0]] == disk) unlink(volume->kernel);
    }
}

/* Makes the devices of the scenario and their names. */
void publish(void)
{
    unsigned i;
    char name[128];
    unlink(NULL);
    for (i = 0; i < RIG_DISKS; i++) {
        struct rig_disk *disk = &state.disks[i];
        struct device *device;
        if (!disk->used || disk->gone) continue;
        device = object(disk->kernel, disk->cdrom ? FILE_DEVICE_CD_ROM : FILE_DEVICE_DISK);
        if (!device) { journal("rig: no device %s", disk->kernel); continue; }
        device->disk = disk;
        device->volume = NULL;
        link(disk_name(disk), disk->kernel);
        _snprintf(name, sizeof(name), "RIG#Disk%u", i);
        link(name, disk->kernel);
    }
    for (i = 0; i < RIG_VOLUMES; i++) {
        struct rig_volume *volume = &state.volumes[i];
        struct device *device;
        if (!volume->used || state.disks[volume->disks[0]].gone) continue;
        device = object(volume->kernel, FILE_DEVICE_DISK);
        if (!device) { journal("rig: no device %s", volume->kernel); continue; }
        device->volume = volume;
        if (!state.disks[volume->disks[0]].cdrom) device->disk = NULL;
        if (volume->letter) link(volume_name(volume), volume->kernel);
        _snprintf(name, sizeof(name), "Volume%s", volume->guid);
        link(name, volume->kernel);
    }
}

static NTSTATUS complete(PIRP irp, NTSTATUS status, ULONG_PTR size)
{
    irp->IoStatus.Status = status;
    irp->IoStatus.Information = size;
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    return status;
}

static NTSTATUS NTAPI create(PDEVICE_OBJECT object, PIRP irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    struct device *device = object->DeviceExtension;
    struct handle *handle = ExAllocatePool(NonPagedPool, sizeof(*handle));
    if (!handle) return complete(irp, STATUS_NO_MEMORY, 0);
    memset(handle, 0, sizeof(*handle));
    handle->file = stack->FileObject;
    if (!device->control) { handle->volume = device->volume; handle->disk = device->disk; }
    ExAcquireFastMutex(&mutex);
    stack->FileObject->FsContext = handle;
    handle->serial = ++last_serial;
    handle->next = handles;
    handles = handle;
    ExReleaseFastMutex(&mutex);
    return complete(irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI closed(PDEVICE_OBJECT object, PIRP irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    struct handle *handle, **at;
    (void)object;
    if (stack->MajorFunction != IRP_MJ_CLOSE || !stack->FileObject) return complete(irp, STATUS_SUCCESS, 0);
    ExAcquireFastMutex(&mutex);
    handle = stack->FileObject->FsContext;
    for (at = &handles; *at && *at != handle; at = &(*at)->next) ;
    if (handle && *at) {
        *at = handle->next;
        handle_closed(handle);
        ExFreePool(handle);
    }
    ExReleaseFastMutex(&mutex);
    return complete(irp, STATUS_SUCCESS, 0);
}

/* What the request asks for. Buffers are METHOD_BUFFERED: input and output are the same memory. */
static NTSTATUS control(struct device *device, struct handle *handle, unsigned code, char *buffer, unsigned in,
                        unsigned out, ULONG_PTR *written)
{
    struct rig_veto veto;
    if (device->control) switch (code) {
    case RIG_LOAD_SCENARIO: {
        char error[120];
        const char *wrong = scenario_load(buffer, in, error, sizeof(error));
        publish();
        if (!wrong) return STATUS_SUCCESS;
        *written = strlen(wrong) < out ? strlen(wrong) : out;
        memcpy(buffer, wrong, *written);
        return STATUS_SUCCESS;
    }
    case RIG_READ_JOURNAL: *written = journal_read(buffer, out); return STATUS_SUCCESS;
    case RIG_WRITE_JOURNAL: journal("%.*s", (int)in, buffer); return STATUS_SUCCESS;
    case RIG_GET_STATE:
        if (out < sizeof(state)) return STATUS_BUFFER_TOO_SMALL;
        memcpy(buffer, &state, sizeof(state));
        *written = sizeof(state);
        return STATUS_SUCCESS;
    case RIG_EJECT_NODE:
    case RIG_REMOVE_SUBTREE:
        if (in < sizeof(struct rig_node_request) || out < sizeof(veto)) return STATUS_INVALID_PARAMETER;
        memset(&veto, 0, sizeof(veto));
        eject_node((struct rig_node_request *)buffer, &veto, code == RIG_REMOVE_SUBTREE);
        memcpy(buffer, &veto, sizeof(veto));
        *written = sizeof(veto);
        return STATUS_SUCCESS;
    case RIG_DETACH_IMAGE: {
        unsigned index;
        if (in < 4) return STATUS_INVALID_PARAMETER;
        memcpy(&index, buffer, 4);
        if (index >= RIG_DISKS || !state.disks[index].used || !state.disks[index].image[0]) return STATUS_NO_SUCH_DEVICE;
        write_back_disk(&state.disks[index]);
        remove_disk(&state.disks[index], "detached");
        return STATUS_SUCCESS;
    }
    case RIG_DISMOUNT_CONTAINER:
        /* VeraCrypt, "Normal Dismount vs Force Dismount": it locks the volume first, which fails with open files. */
        if (!state.container[0] || state.container_busy) return STATUS_ACCESS_DENIED;
        journal("container dismounted: %s", state.container);
        state.container[0] = 0;
        return STATUS_SUCCESS;
    case RIG_ENABLE_NODE:
    case RIG_CYCLE_PORT:
        if (in < sizeof(struct rig_node_request)) return STATUS_INVALID_PARAMETER;
        return enable_node((struct rig_node_request *)buffer, code == RIG_CYCLE_PORT);
    default: return STATUS_INVALID_DEVICE_REQUEST;
    }
    if (!handle) return STATUS_INVALID_PARAMETER;
    switch (code) {
    case RIG_OPEN:
        if (in < sizeof(struct rig_open)) return STATUS_INVALID_PARAMETER;
        return handle->volume ? open_volume(handle, (struct rig_open *)buffer)
                              : open_disk(handle, (struct rig_open *)buffer);
    case RIG_FILE_NAME:
        if (handle->role == RIG_ROLE_IMAGE) return STATUS_INVALID_DEVICE_REQUEST;
        *written = strlen(handle->path) < out ? strlen(handle->path) : out;
        memcpy(buffer, handle->path, *written);
        return STATUS_SUCCESS;
    case FSCTL_LOCK: return lock(handle);
    case FSCTL_UNLOCK: return unlock(handle);
    case FSCTL_DISMOUNT: return dismount(handle);
    case FSCTL_IS_MOUNTED: return is_mounted(handle);
    case VOLUME_OFFLINE: return take_offline(handle);
    case VOLUME_ONLINE: return take_online(handle);
    default: return storage_control(handle, code, buffer, in, out, written);
    }
}

/* How long the request takes, in milliseconds. It cannot be cancelled meanwhile. */
static unsigned delay(const struct handle *handle, unsigned code, const void *buffer)
{
    const struct rig_volume *volume = handle ? handle->volume : NULL;
    const struct rig_open *open = buffer;
    const struct rig_disk *disk = handle ? handle->disk : NULL;
    if (code == DISK_PERFORMANCE_ON && disk) return disk->performance_ms;
    if (!volume) return 0;
    if (code == FSCTL_LOCK) return volume->lock_ms;
    if (code == RIG_OPEN && open->path[0]) return open->role == RIG_ROLE_UNMOOR ? volume->root_ms : 0;
    /* fastfat create.c, FatOpenVolume: "Flush the volume", for FILE_READ_DATA or FILE_WRITE_DATA. */
    if (code == RIG_OPEN && (open->access & 0xC0000007)) return volume->open_ms;
    return 0;
}

struct job { PDEVICE_OBJECT object; PIRP irp; struct handle *handle; unsigned serial, ms; };

/* Returns true if the handle is still open. Its file object may be gone otherwise. */
static int is_open(const struct handle *handle, unsigned serial)
{
    const struct handle *one;
    for (one = handles; one && one != handle; one = one->next) ;
    return one && one->serial == serial;
}

static NTSTATUS run(PDEVICE_OBJECT object, PIRP irp, struct handle *handle, unsigned serial)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    ULONG_PTR written = 0;
    NTSTATUS status;
    ExAcquireFastMutex(&mutex);
    if (!is_open(handle, serial)) status = STATUS_CANCELLED;
    else if (stack->MajorFunction == IRP_MJ_FLUSH_BUFFERS) status = flush(handle);
    else status = control(object->DeviceExtension, handle,
                          stack->Parameters.DeviceIoControl.IoControlCode, irp->AssociatedIrp.SystemBuffer,
                          stack->Parameters.DeviceIoControl.InputBufferLength,
                          stack->Parameters.DeviceIoControl.OutputBufferLength, &written);
    ExReleaseFastMutex(&mutex);
    return complete(irp, status, written);
}

static void NTAPI late(void *context)
{
    struct job *job = context;
    LARGE_INTEGER time;
    time.QuadPart = -(long long)job->ms * 10000;
    KeDelayExecutionThread(KernelMode, FALSE, &time);
    run(job->object, job->irp, job->handle, job->serial);
    ExFreePool(job);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static NTSTATUS NTAPI request(PDEVICE_OBJECT object, PIRP irp)
{
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    struct handle *handle = stack->FileObject ? stack->FileObject->FsContext : NULL;
    unsigned ms = 0;
    if (stack->MajorFunction == IRP_MJ_FLUSH_BUFFERS) ms = handle && handle->volume ? handle->volume->flush_ms : 0;
    else ms = delay(handle, stack->Parameters.DeviceIoControl.IoControlCode, irp->AssociatedIrp.SystemBuffer);
    if (ms) {
        struct job *job = ExAllocatePool(NonPagedPool, sizeof(*job));
        HANDLE thread;
        job->object = object;
        job->irp = irp;
        job->handle = handle;
        job->serial = handle->serial;
        job->ms = ms;
        IoMarkIrpPending(irp);
        if (!PsCreateSystemThread(&thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, late, job)) {
            ZwClose(thread);
            return STATUS_PENDING;
        }
        ExFreePool(job);
    }
    return run(object, irp, handle, handle ? handle->serial : 0);
}

static NTSTATUS NTAPI unsupported(PDEVICE_OBJECT object, PIRP irp)
{
    (void)object;
    return complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT object_, PUNICODE_STRING registry)
{
    struct device *device;
    UNICODE_STRING name, target;
    int i;
    (void)registry;
    driver = object_;
    ExInitializeFastMutex(&mutex);
    for (i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++) driver->MajorFunction[i] = unsupported;
    driver->MajorFunction[IRP_MJ_CREATE] = create;
    driver->MajorFunction[IRP_MJ_CLOSE] = closed;
    driver->MajorFunction[IRP_MJ_CLEANUP] = closed;
    driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = request;
    driver->MajorFunction[IRP_MJ_FLUSH_BUFFERS] = request;
    device = object("\\Device\\" RIG_CONTROL_DEVICE, FILE_DEVICE_UNKNOWN);
    if (!device) return STATUS_UNSUCCESSFUL;
    device->control = 1;
    RtlInitUnicodeString(&name, L"\\DosDevices\\WindowsRig");
    RtlInitUnicodeString(&target, L"\\Device\\WindowsRig");
    return IoCreateSymbolicLink(&name, &target);
}
