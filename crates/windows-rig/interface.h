/* Requests and structures shared by the driver, the interposing DLL and the launcher.
 *
 * Texts are UTF-8. Windows headers (winioctl.h or ntddk.h) come before this file. */
#ifndef WINDOWS_RIG_INTERFACE_H
#define WINDOWS_RIG_INTERFACE_H

#define RIG_CONTROL_DEVICE "WindowsRig"

/* Device type of the rig's own requests. Wine answers FILE_DEVICE_FILE_SYSTEM itself and passes unknown
 * types to the driver. */
#define RIG_DEVICE_TYPE 0xA009

/* FSCTL_* codes keep function and access, and get the rig's device type. */
#define RIG_FSCTL(code) (((code) & 0xFFFCu) | ((unsigned)RIG_DEVICE_TYPE << 16))

#define RIG_CODE(function) (((unsigned)RIG_DEVICE_TYPE << 16) | ((0x800 + (function)) << 2))
/* On the control device. */
#define RIG_LOAD_SCENARIO RIG_CODE(1)  /* in: text; out: text of the first error, or nothing */
#define RIG_READ_JOURNAL RIG_CODE(2)   /* out: text */
#define RIG_GET_STATE RIG_CODE(3)      /* out: struct rig_state */
#define RIG_EJECT_NODE RIG_CODE(4)     /* in: struct rig_node_request; out: struct rig_veto */
#define RIG_REMOVE_SUBTREE RIG_CODE(5) /* in: struct rig_node_request; out: struct rig_veto */
#define RIG_ENABLE_NODE RIG_CODE(6)    /* in: struct rig_node_request */
#define RIG_CYCLE_PORT RIG_CODE(7)     /* in: struct rig_node_request */
#define RIG_WRITE_JOURNAL RIG_CODE(8)  /* in: text */
#define RIG_DETACH_IMAGE RIG_CODE(9)   /* in: index of the disk, 4 bytes */
#define RIG_DISMOUNT_CONTAINER RIG_CODE(10)
/* On a device of the rig. */
#define RIG_OPEN RIG_CODE(20)      /* in: struct rig_open. Applies the rules of opening to the handle. */
#define RIG_FILE_NAME RIG_CODE(21) /* out: path of the file that the handle is of, UTF-8; empty for a device */

#define RIG_VOLUMES 16
#define RIG_DISKS 12
#define RIG_NODES 40
#define RIG_SHORT 64
#define RIG_LONG 200

/* RIG_ROLE_IMAGE: a running program, whose file is open without a handle in the table of handles. */
/* RIG_ROLE_ADMINISTRATOR: unmoor, started again by "runas". */
enum rig_role { RIG_ROLE_UNMOOR, RIG_ROLE_HOLDER, RIG_ROLE_IMAGE, RIG_ROLE_ADMINISTRATOR };

struct rig_open {
    unsigned access;
    unsigned share;
    unsigned role;
    char path[RIG_LONG]; /* below the volume, "\held.txt"; empty for the volume or device itself */
};

struct rig_node_request {
    unsigned node;
    unsigned role;
    unsigned load_driver_privilege; /* SeLoadDriverPrivilege is enabled in the caller's token */
    unsigned no_restart;            /* CM_REMOVE_NO_RESTART */
};

struct rig_veto {
    unsigned config_return; /* CONFIGRET */
    unsigned type;          /* PNP_VETO_TYPE */
    char name[RIG_LONG];
};

struct rig_volume {
    int used;
    char letter; /* 'E', or 0 */
    char kernel[RIG_SHORT];
    char guid[RIG_SHORT]; /* {01234567-...} */
    char fs[16];          /* fat, fat32, exfat, ntfs, cdfs, udf, raw */
    char label[RIG_SHORT];
    unsigned serial;
    char mounts[RIG_LONG]; /* folders, separated by ';' */
    unsigned disks[4];     /* indexes into rig_state.disks */
    unsigned disk_count;
    int floppy;
    int read_only;
    int paging;
    int extents_unknown;
    unsigned long long size;
    unsigned foreign_handles; /* handles of programs that are not part of the run */
    unsigned foreign_ms;      /* those are closed so long after the first refused lock; 0: never */
    unsigned open_ms, lock_ms, flush_ms, root_ms;
    unsigned lock_status; /* NTSTATUS of every lock; 0: by the rules */
    int refuses_manage; /* FAT: no MANAGE_VOLUME access for this user */
    /* State. */
    int mounted, offline, dirty;
    unsigned generation; /* of the mount; handles of an earlier one are dead */
    void *locked_by, *dismounted_by;
    unsigned long long foreign_end;
};

enum rig_eject { RIG_EJECT_OK, RIG_EJECT_LIES, RIG_EJECT_UNSUPPORTED, RIG_EJECT_PAGING, RIG_EJECT_BUSY, RIG_EJECT_IO };

struct rig_disk {
    int used;
    unsigned number;
    int cdrom;
    int floppy;
    unsigned node; /* index into rig_state.nodes */
    char kernel[RIG_SHORT];
    unsigned bus; /* STORAGE_BUS_TYPE */
    int removable, hotplug, media_hotplug, write_protected;
    char vendor[16], product[32], serial[RIG_SHORT];
    unsigned long long size;
    int eject; /* enum rig_eject */
    unsigned eject_refusals; /* first attempts answered by unit attention */
    int media;
    unsigned change_count;
    unsigned removal_locks; /* PREVENT ALLOW MEDIUM REMOVAL by other callers */
    char exclusive[RIG_SHORT]; /* name of the program with exclusive access to a CD drive */
    char image[RIG_LONG]; /* file that the disk lies in: E:\disc.iso */
    int disk_offline;
    unsigned writers; /* handles of other programs on the disk itself, opened to write */
    unsigned gone_status; /* NTSTATUS of requests after the removal */
    char gone_at[RIG_SHORT], swap_at[RIG_SHORT]; /* beginning of the journal line after which it happens */
    unsigned performance_ms; /* IOCTL_DISK_PERFORMANCE takes so long */
    unsigned not_ready;      /* so many requests are answered before the medium is ready */
    int stopped, gone;
    unsigned performance_on;
};

struct rig_node {
    int used;
    char id[RIG_LONG];
    char parent[RIG_LONG];
    int parent_index;
    unsigned capabilities;
    unsigned removal_policy;
    unsigned veto_type;
    unsigned vetoes; /* so many requests are vetoed */
    char veto_name[RIG_LONG];
    int gone;
    unsigned problem;
    unsigned port; /* of the hub above it */
    char location[RIG_SHORT];
};

struct rig_state {
    int restricted;    /* the user is no administrator */
    int no_console;    /* the session is not at the physical console */
    int other_program; /* another program opens what is unlocked (Explorer, indexer) */
    int stuck_pipes;
    int protected_process; /* a process that nobody may open */
    char current_directory[RIG_LONG];
    char program[RIG_LONG];     /* where unmoor.exe lies: E:\unmoor.exe */
    char window_title[RIG_SHORT]; /* of every holder */
    char temporary[RIG_LONG];   /* temporary folder */
    int forbids_programs;       /* rules of the machine forbid programs in the temporary folder */
    char substituted[RIG_LONG]; /* S:E:\folder */
    char container[RIG_LONG];   /* V:E:\secret.hc, mounted by VeraCrypt */
    int container_busy;         /* files on its volume are open */
    struct rig_volume volumes[RIG_VOLUMES];
    struct rig_disk disks[RIG_DISKS];
    struct rig_node nodes[RIG_NODES];
};

#endif
