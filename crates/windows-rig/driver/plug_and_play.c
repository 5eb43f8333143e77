/* Plug and Play: removal of a device node with everything below it.
 *
 * Sources: documentation pages CM_Request_Device_EjectW (who may ask; veto type and name),
 * CM_Query_And_Remove_SubTreeW, PNP_VETO_TYPE (cfg.h), "Device Manager Error Messages" (codes 21 and 47);
 * fastfat pnp.c FatPnpQueryRemove: the file system locks (FatLockVolumeInternal without a file object),
 * flushes, and vetoes where something is open. */
#include "rig.h"

#define CR_SUCCESS 0x00
#define CR_INVALID_DEVNODE 0x05
#define CR_REMOVE_VETOED 0x17
#define CR_ACCESS_DENIED 0x33
#define VETO_OUTSTANDING_OPEN 5
#define VETO_ILLEGAL_REQUEST 8
#define PROBLEM_WILL_BE_REMOVED 21
#define PROBLEM_HELD_FOR_EJECT 47
#define CAPABILITY_REMOVABLE 4

static int below(unsigned node, unsigned top)
{
    int at = node;
    unsigned steps;
    for (steps = 0; at >= 0 && steps < RIG_NODES; steps++) {
        if ((unsigned)at == top) return 1;
        at = state.nodes[at].parent_index;
    }
    return 0;
}

static int disk_below(const struct rig_disk *disk, unsigned top)
{
    return disk->used && !disk->gone && disk->node < RIG_NODES && below(disk->node, top);
}

static void refuse(struct rig_veto *veto, unsigned type, const char *name)
{
    veto->config_return = CR_REMOVE_VETOED;
    veto->type = type;
    _snprintf(veto->name, sizeof(veto->name) - 1, "%s", name);
}

/* IRP_MN_QUERY_REMOVE_DEVICE of one disk. */
static int query_remove(struct rig_disk *disk, struct rig_veto *veto)
{
    struct handle *handle;
    unsigned i, j;
    for (i = 0; i < RIG_VOLUMES; i++) {
        struct rig_volume *volume = &state.volumes[i];
        for (j = 0; volume->used && j < volume->disk_count; j++) {
            if (&state.disks[volume->disks[j]] != disk) continue;
            if (volume->paging || volume->locked_by || open_handles(volume, NULL)) {
                refuse(veto, VETO_OUTSTANDING_OPEN, volume->kernel);
                return 0;
            }
        }
    }
    /* Handles on the devices themselves, past the file system. */
    for (handle = handles; handle; handle = handle->next) {
        struct rig_disk *of = handle->disk ? handle->disk : handle->volume ? &state.disks[handle->volume->disks[0]] : NULL;
        if (of == disk && handle->mode != MODE_NONE) {
            refuse(veto, VETO_OUTSTANDING_OPEN, disk->node < RIG_NODES ? state.nodes[disk->node].id : disk->kernel);
            return 0;
        }
    }
    if (disk->writers) {
        refuse(veto, VETO_OUTSTANDING_OPEN, disk->node < RIG_NODES ? state.nodes[disk->node].id : disk->kernel);
        return 0;
    }
    return 1;
}

static void decide(const struct rig_node_request *request, struct rig_veto *veto, int subtree)
{
    struct rig_node *node = &state.nodes[request->node];
    unsigned i;
    int restricted = state.restricted && request->role == RIG_ROLE_UNMOOR;
    if (restricted && subtree) { veto->config_return = CR_ACCESS_DENIED; return; }
    /* Page of CM_Request_Device_EjectW: not interactive or not on the console needs SeLoadDriverPrivilege. */
    if (state.no_console && (restricted || !request->load_driver_privilege)) { veto->config_return = CR_ACCESS_DENIED; return; }
    if (!subtree && !(node->capabilities & CAPABILITY_REMOVABLE)) { refuse(veto, VETO_ILLEGAL_REQUEST, node->id); return; }
    for (i = 0; i < RIG_NODES; i++) {
        struct rig_node *one = &state.nodes[i];
        if (!one->used || one->gone || !below(i, request->node) || !one->veto_type || !one->vetoes) continue;
        one->vetoes--;
        refuse(veto, one->veto_type, one->veto_name[0] ? one->veto_name : one->id);
        return;
    }
    for (i = 0; i < RIG_DISKS; i++)
        if (disk_below(&state.disks[i], request->node) && !query_remove(&state.disks[i], veto)) return;
    for (i = 0; i < RIG_DISKS; i++) {
        struct rig_disk *disk = &state.disks[i];
        if (!disk_below(disk, request->node)) continue;
        write_back_disk(disk);
        remove_disk(disk, "removed by Plug and Play");
    }
    for (i = 0; i < RIG_NODES; i++)
        if (state.nodes[i].used && i != request->node && below(i, request->node)) state.nodes[i].gone = 1;
    node->problem = subtree ? PROBLEM_WILL_BE_REMOVED : PROBLEM_HELD_FOR_EJECT;
    /* A node that is a disk of its own leaves with its function. */
    for (i = 0; i < RIG_DISKS; i++) if (state.disks[i].used && state.disks[i].node == request->node) node->gone = 1;
}

void eject_node(const struct rig_node_request *request, struct rig_veto *veto, int subtree)
{
    const char *name = subtree ? "CM_Query_And_Remove_SubTree" : "CM_Request_Device_Eject";
    if (request->node >= RIG_NODES || !state.nodes[request->node].used || state.nodes[request->node].gone) {
        veto->config_return = CR_INVALID_DEVNODE;
        return;
    }
    decide(request, veto, subtree);
    journal("%s %s -> %u, veto %u", name, state.nodes[request->node].id, veto->config_return, veto->type);
}

/* Brings a device back: code 21 by enabling or enumerating it, code 47 by cycling its port
 * (IOCTL_USB_HUB_CYCLE_PORT). */
NTSTATUS enable_node(const struct rig_node_request *request, int cycle)
{
    struct rig_node *node;
    unsigned i;
    if (request->node >= RIG_NODES || !state.nodes[request->node].used) return STATUS_NO_SUCH_DEVICE;
    node = &state.nodes[request->node];
    if (state.restricted && request->role == RIG_ROLE_UNMOOR) return STATUS_ACCESS_DENIED;
    journal("%s %s (problem %u)", cycle ? "port cycled:" : "enabled:", node->id, node->problem);
    if (node->problem != PROBLEM_WILL_BE_REMOVED && !(cycle && node->problem == PROBLEM_HELD_FOR_EJECT)) return STATUS_SUCCESS;
    node->problem = 0;
    for (i = 0; i < RIG_NODES; i++) if (state.nodes[i].used && below(i, request->node)) state.nodes[i].gone = 0;
    for (i = 0; i < RIG_DISKS; i++)
        if (state.disks[i].used && state.disks[i].node < RIG_NODES && below(state.disks[i].node, request->node)) {
            state.disks[i].gone = 0;
            state.disks[i].stopped = 0;
        }
    publish();
    return STATUS_SUCCESS;
}
