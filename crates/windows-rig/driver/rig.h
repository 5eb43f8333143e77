/* Internal declarations of the driver. */
#ifndef WINDOWS_RIG_DRIVER_H
#define WINDOWS_RIG_DRIVER_H

#include <ntddk.h>
#include "../interface.h"

/* Exported by ntoskrnl.exe; there is no C library here. */
int _snprintf(char *room, size_t size, const char *format, ...);

#define CODE(type, function, access) \
    (((unsigned)(type) << 16) | ((access) << 14) | ((unsigned)(function) << 2))
#define ANY 0
#define READ 1
#define READ_WRITE 3

/* winioctl.h, ntddstor.h, ntddvol.h */
#define FSCTL_LOCK RIG_FSCTL(0x90018)
#define FSCTL_UNLOCK RIG_FSCTL(0x9001C)
#define FSCTL_DISMOUNT RIG_FSCTL(0x90020)
#define FSCTL_IS_MOUNTED RIG_FSCTL(0x90028)
#define STORAGE_CHECK_VERIFY CODE(0x2D, 0x200, READ)
#define STORAGE_CHECK_VERIFY2 CODE(0x2D, 0x200, ANY)
#define STORAGE_MEDIA_REMOVAL CODE(0x2D, 0x201, READ)
#define STORAGE_EJECT_MEDIA CODE(0x2D, 0x202, READ)
#define STORAGE_LOAD_MEDIA CODE(0x2D, 0x203, READ)
#define STORAGE_LOAD_MEDIA2 CODE(0x2D, 0x203, ANY)
#define STORAGE_GET_HOTPLUG_INFO CODE(0x2D, 0x305, ANY)
#define STORAGE_GET_DEVICE_NUMBER CODE(0x2D, 0x420, ANY)
#define STORAGE_QUERY_PROPERTY CODE(0x2D, 0x500, ANY)
#define DISK_GET_DRIVE_GEOMETRY_EX CODE(0x07, 0x28, ANY)
#define DISK_GET_LENGTH_INFO CODE(0x07, 0x17, READ)
#define DISK_IS_WRITABLE CODE(0x07, 0x09, ANY)
#define DISK_PERFORMANCE_ON CODE(0x07, 0x08, ANY)
#define DISK_PERFORMANCE_OFF CODE(0x07, 0x18, ANY)
#define DISK_GET_ATTRIBUTES CODE(0x07, 0x3C, ANY)
#define VOLUME_GET_DISK_EXTENTS CODE(0x56, 0, ANY)
#define VOLUME_ONLINE CODE(0x56, 2, READ_WRITE)
#define VOLUME_OFFLINE CODE(0x56, 3, READ_WRITE)
#define VOLUME_IS_OFFLINE CODE(0x56, 4, ANY)
#define CDROM_EXCLUSIVE_ACCESS CODE(0x02, 0x17, READ_WRITE)

#ifndef STATUS_DEVICE_REMOVED
#define STATUS_DEVICE_REMOVED ((NTSTATUS)0xC00002B6)
#endif
#ifndef STATUS_VOLUME_DISMOUNTED
#define STATUS_VOLUME_DISMOUNTED ((NTSTATUS)0xC000026E)
#endif
#ifndef STATUS_NO_MEDIA_IN_DEVICE
#define STATUS_NO_MEDIA_IN_DEVICE ((NTSTATUS)0xC0000013)
#endif
#ifndef STATUS_NOT_LOCKED
#define STATUS_NOT_LOCKED ((NTSTATUS)0xC000002A)
#endif
#ifndef STATUS_FILES_OPEN
#define STATUS_FILES_OPEN ((NTSTATUS)0xC0000107)
#endif
#ifndef STATUS_DEVICE_OFF_LINE
#define STATUS_DEVICE_OFF_LINE ((NTSTATUS)0x80000010)
#endif

/* What a handle is of. */
enum mode {
    MODE_NONE,   /* opened at the object manager, rules not applied yet: counts nowhere */
    MODE_DIRECT, /* no access to data: goes to the storage stack past the file system */
    MODE_VOLUME, /* the volume, through its file system */
    MODE_FILE,   /* a file or folder of the volume */
    MODE_DISK    /* PhysicalDriveN with access to data */
};

struct handle {
    struct handle *next;
    unsigned serial; /* no two handles have the same */
    PFILE_OBJECT file;
    struct rig_volume *volume; /* or */
    struct rig_disk *disk;
    enum mode mode;
    unsigned access, share, role, generation;
    char path[RIG_LONG];
};

/* What a device object is of. */
struct device {
    struct rig_volume *volume;
    struct rig_disk *disk;
    int control;
};

extern struct rig_state state;
extern struct handle *handles;

/* journal.c */
void journal(const char *format, ...) __attribute__((format(printf, 1, 2)));
void journal_clear(void);
unsigned journal_read(char *room, unsigned size);
const char *status_name(NTSTATUS status);

/* scenario.c */
const char *scenario_load(const char *text, unsigned length, char *error, unsigned size);
/* main.c */
void publish(void);
void unpublish_disk(struct rig_disk *disk);
unsigned long long now_ms(void);
const char *volume_name(const struct rig_volume *volume);
const char *disk_name(const struct rig_disk *disk);

/* file_system.c */
NTSTATUS open_volume(struct handle *handle, const struct rig_open *request);
NTSTATUS mount(struct rig_volume *volume, const char *by);
NTSTATUS lock(struct handle *handle);
NTSTATUS unlock(struct handle *handle);
NTSTATUS dismount(struct handle *handle);
NTSTATUS is_mounted(struct handle *handle);
NTSTATUS flush(struct handle *handle);
NTSTATUS take_offline(struct handle *handle);
NTSTATUS take_online(struct handle *handle);
void handle_closed(struct handle *handle);
unsigned open_handles(const struct rig_volume *volume, const struct handle *except);
void write_back_disk(struct rig_disk *disk);
void write_back(struct rig_volume *volume, const char *by);

/* storage.c */
int ordinary_request(struct rig_disk *disk, const char *by, NTSTATUS *status);
NTSTATUS storage_control(struct handle *handle, unsigned code, void *buffer, unsigned in, unsigned out,
                         ULONG_PTR *written);
NTSTATUS open_disk(struct handle *handle, const struct rig_open *request);
void remove_disk(struct rig_disk *disk, const char *why);
void swap_medium(struct rig_disk *disk);

/* plug_and_play.c */
void eject_node(const struct rig_node_request *request, struct rig_veto *veto, int subtree);
NTSTATUS enable_node(const struct rig_node_request *request, int cycle);

#endif
