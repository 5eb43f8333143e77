/* Device interfaces and device nodes. */
#include "interpose.h"
#include <initguid.h>
#include <setupapi.h>
#include <cfgmgr32.h>

DEFINE_GUID(CLASS_DISK, 0x53f56307, 0xb6bf, 0x11d0, 0x94, 0xf2, 0x00, 0xa0, 0xc9, 0x1e, 0xfb, 0x8b);
DEFINE_GUID(CLASS_CDROM, 0x53f56308, 0xb6bf, 0x11d0, 0x94, 0xf2, 0x00, 0xa0, 0xc9, 0x1e, 0xfb, 0x8b);

/* Numbers of device nodes: DEVINST is the index plus this. */
#define FIRST_NODE 0x100
/* The root of the tree, above every node without a parent. */
#define ROOT 2
/* A disk without a node in the scenario has this. */
#define NO_NODE 1

enum { DISKS, CDROMS, HUBS };
struct list { unsigned magic; int kind; };
#define MAGIC 0x52494721

/* Returns true if the list is one of the rig's; others are Wine's, and pointers as well. */
static BOOL is_ours(HDEVINFO list)
{
    return ((struct list *)list)->magic == MAGIC;
}

DEFINE_GUID(CLASS_HUB, 0xf18a0e88, 0xc30c, 0x11d0, 0x88, 0x15, 0x00, 0xa0, 0xc9, 0x06, 0xbe, 0xd8);

HDEVINFO WINAPI rig_SetupDiGetClassDevsW(const GUID *class, const WCHAR *enumerator, HWND window, DWORD flags)
{
    struct list *list;
    if (!class || (!IsEqualGUID(class, &CLASS_DISK) && !IsEqualGUID(class, &CLASS_CDROM) && !IsEqualGUID(class, &CLASS_HUB)))
        return SetupDiGetClassDevsW(class, enumerator, window, flags);
    list = calloc(1, sizeof(*list));
    list->magic = MAGIC;
    list->kind = IsEqualGUID(class, &CLASS_CDROM) ? CDROMS : IsEqualGUID(class, &CLASS_HUB) ? HUBS : DISKS;
    return list;
}

BOOL WINAPI rig_SetupDiDestroyDeviceInfoList(HDEVINFO list)
{
    if (!is_ours(list)) return SetupDiDestroyDeviceInfoList(list);
    free(list);
    return TRUE;
}

BOOL WINAPI rig_SetupDiEnumDeviceInterfaces(HDEVINFO handle, SP_DEVINFO_DATA *device, const GUID *class, DWORD index,
                                            SP_DEVICE_INTERFACE_DATA *data)
{
    struct list *list = (struct list *)handle;
    struct rig_state *state;
    unsigned i;
    if (!is_ours(handle)) return SetupDiEnumDeviceInterfaces(handle, device, class, index, data);
    state = get_state();
    for (i = 0; i < RIG_NODES; i++) {
        BOOL here = list->kind == HUBS ? is_hub(&state->nodes[i])
            : i < RIG_DISKS && state->disks[i].used && !state->disks[i].gone && state->disks[i].cdrom == (list->kind == CDROMS);
        if (!here) continue;
        if (index--) continue;
        data->InterfaceClassGuid = *class;
        data->Flags = 1;
        data->Reserved = i;
        free(state);
        return TRUE;
    }
    free(state);
    return fail(ERROR_NO_MORE_ITEMS);
}

BOOL WINAPI rig_SetupDiGetDeviceInterfaceDetailW(HDEVINFO list, SP_DEVICE_INTERFACE_DATA *data,
                                                 SP_DEVICE_INTERFACE_DETAIL_DATA_W *detail, DWORD size, DWORD *needed,
                                                 SP_DEVINFO_DATA *device)
{
    WCHAR path[64];
    DWORD room;
    BOOL hub = ((struct list *)list)->kind == HUBS;
    if (!is_ours(list)) return SetupDiGetDeviceInterfaceDetailW(list, data, detail, size, needed, device);
    room = sizeof(DWORD) + (swprintf(path, 64, hub ? L"\\\\?\\RIG#Hub%u" : L"\\\\?\\RIG#Disk%u", (unsigned)data->Reserved) + 1) * sizeof(WCHAR);
    if (needed) *needed = room;
    if (!detail || size < room) return fail(ERROR_INSUFFICIENT_BUFFER);
    wcscpy(detail->DevicePath, path);
    if (device) {
        struct rig_state *state = get_state();
        unsigned node = hub ? data->Reserved : state->disks[data->Reserved].node;
        device->DevInst = node < RIG_NODES ? FIRST_NODE + node : NO_NODE;
        free(state);
    }
    return TRUE;
}

static struct rig_node *node_of(struct rig_state *state, DEVINST number)
{
    unsigned i = number - FIRST_NODE;
    return number >= FIRST_NODE && i < RIG_NODES && state->nodes[i].used && !state->nodes[i].gone ? &state->nodes[i] : NULL;
}

CONFIGRET WINAPI rig_CM_Get_Parent(DEVINST *parent, DEVINST number, ULONG flags)
{
    struct rig_state *state = get_state();
    struct rig_node *node = node_of(state, number);
    int index = node ? node->parent_index : -1;
    BOOL known = node != NULL;
    (void)flags;
    free(state);
    if (!known) return CR_NO_SUCH_DEVNODE;
    *parent = index < 0 ? ROOT : FIRST_NODE + index;
    return CR_SUCCESS;
}

/* The first node after this index that is a child of the node. */
static CONFIGRET child_after(struct rig_state *state, int parent, unsigned index, DEVINST *child)
{
    for (; index < RIG_NODES; index++)
        if (state->nodes[index].used && !state->nodes[index].gone && state->nodes[index].parent_index == parent) {
            *child = FIRST_NODE + index;
            return CR_SUCCESS;
        }
    return CR_NO_SUCH_DEVNODE;
}

CONFIGRET WINAPI rig_CM_Get_Child(DEVINST *child, DEVINST number, ULONG flags)
{
    struct rig_state *state = get_state();
    CONFIGRET answer = number == ROOT ? child_after(state, -1, 0, child)
        : node_of(state, number) ? child_after(state, number - FIRST_NODE, 0, child) : CR_NO_SUCH_DEVNODE;
    (void)flags;
    free(state);
    return answer;
}

CONFIGRET WINAPI rig_CM_Get_Sibling(DEVINST *sibling, DEVINST number, ULONG flags)
{
    struct rig_state *state = get_state();
    struct rig_node *node = node_of(state, number);
    CONFIGRET answer = node ? child_after(state, node->parent_index, number - FIRST_NODE + 1, sibling) : CR_NO_SUCH_DEVNODE;
    (void)flags;
    free(state);
    return answer;
}

CONFIGRET WINAPI rig_CM_Get_Device_IDW(DEVINST number, WCHAR *room, ULONG units, ULONG flags)
{
    struct rig_state *state = get_state();
    struct rig_node *node = node_of(state, number);
    (void)flags;
    wide(node ? node->id : "HTREE\\ROOT\\0", room, units);
    free(state);
    return node || number == ROOT ? CR_SUCCESS : CR_NO_SUCH_DEVNODE;
}

CONFIGRET WINAPI rig_CM_Get_DevNode_Registry_PropertyW(DEVINST number, ULONG property, ULONG *type, void *room, ULONG *size,
                                                       ULONG flags)
{
    struct rig_state *state = get_state();
    struct rig_node *node = node_of(state, number);
    CONFIGRET answer = CR_NO_SUCH_VALUE;
    (void)flags;
    if (!node) answer = CR_NO_SUCH_DEVNODE;
    else if (property == CM_DRP_ADDRESS && *size >= 4) {
        *(DWORD *)room = node->port;
        *size = 4;
        if (type) *type = REG_DWORD;
        answer = CR_SUCCESS;
    }
    else if ((property == CM_DRP_CAPABILITIES || property == 0x20 /* CM_DRP_REMOVAL_POLICY */) && *size >= 4) {
        *(DWORD *)room = property == CM_DRP_CAPABILITIES ? node->capabilities : node->removal_policy;
        *size = 4;
        if (type) *type = REG_DWORD;
        answer = CR_SUCCESS;
    }
    else if (property == CM_DRP_LOCATION_INFORMATION && node->location[0] && *size >= RIG_SHORT * 2) {
        wide(node->location, room, RIG_SHORT);
        *size = (wcslen(room) + 1) * 2;
        if (type) *type = REG_SZ;
        answer = CR_SUCCESS;
    }
    free(state);
    return answer;
}

struct property_key { GUID set; ULONG id; };

/* DEVPKEY_Device_Capabilities (17), _Address (30), _RemovalPolicy (33). */
CONFIGRET WINAPI rig_CM_Get_DevNode_PropertyW(DEVINST number, const struct property_key *key, ULONG *type, void *room,
                                              ULONG *size, ULONG flags)
{
    struct rig_state *state = get_state();
    struct rig_node *node = node_of(state, number);
    CONFIGRET answer = node ? CR_NO_SUCH_VALUE : CR_NO_SUCH_DEVNODE;
    (void)flags;
    if (node && key->set.Data1 == 0xa45c254e && (key->id == 17 || key->id == 30 || key->id == 33) && *size >= 4) {
        *(DWORD *)room = key->id == 17 ? node->capabilities : key->id == 30 ? node->port : node->removal_policy;
        *size = 4;
        *type = 7; /* DEVPROP_TYPE_UINT32 */
        answer = CR_SUCCESS;
    }
    free(state);
    return answer;
}

CONFIGRET WINAPI rig_CM_Get_DevNode_Status(ULONG *status, ULONG *problem, DEVINST number, ULONG flags)
{
    struct rig_state *state = get_state();
    struct rig_node *node = node_of(state, number);
    (void)flags;
    if (node) {
        *problem = node->problem;
        *status = node->problem ? DN_HAS_PROBLEM : DN_STARTED | DN_DRIVER_LOADED;
        if (node->capabilities & CM_DEVCAP_REMOVABLE) *status |= DN_REMOVABLE;
    }
    free(state);
    return node ? CR_SUCCESS : CR_NO_SUCH_DEVNODE;
}

CONFIGRET WINAPI rig_CM_Locate_DevNodeW(DEVINST *number, WCHAR *id, ULONG flags)
{
    struct rig_state *state = get_state();
    char text[RIG_LONG];
    unsigned i;
    (void)flags;
    if (!id || !*id) {
        free(state);
        *number = ROOT;
        return CR_SUCCESS;
    }
    narrow(id, text, sizeof(text));
    for (i = 0; i < RIG_NODES; i++)
        if (state->nodes[i].used && !state->nodes[i].gone && !_stricmp(state->nodes[i].id, text)) break;
    free(state);
    *number = FIRST_NODE + i;
    return i < RIG_NODES ? CR_SUCCESS : CR_NO_SUCH_DEVNODE;
}

#define FILTER_ENUMERATOR 1 /* CM_GETIDLIST_FILTER_ENUMERATOR */

/* Ids of every node, or of those of one enumerator ("USB"). Without room it returns the length. */
static ULONG ids(const WCHAR *filter, ULONG flags, WCHAR *room, ULONG units)
{
    struct rig_state *state = get_state();
    char enumerator[RIG_SHORT];
    ULONG at = 0;
    unsigned i;
    narrow(filter && flags & FILTER_ENUMERATOR ? filter : L"", enumerator, sizeof(enumerator));
    for (i = 0; i < RIG_NODES; i++) {
        const struct rig_node *node = &state->nodes[i];
        ULONG length = strlen(node->id) + 1;
        if (!node->used || node->gone) continue;
        if (enumerator[0] && (_strnicmp(node->id, enumerator, strlen(enumerator)) || node->id[strlen(enumerator)] != '\\')) continue;
        if (room && at + length < units) wide(node->id, room + at, length);
        at += length;
    }
    if (room && at < units) room[at] = 0;
    free(state);
    return at + 1;
}

CONFIGRET WINAPI rig_CM_Get_Device_ID_List_SizeW(ULONG *length, const WCHAR *filter, ULONG flags)
{
    *length = ids(filter, flags, NULL, 0);
    return CR_SUCCESS;
}

CONFIGRET WINAPI rig_CM_Get_Device_ID_ListW(const WCHAR *filter, WCHAR *room, ULONG units, ULONG flags)
{
    return ids(filter, flags, room, units) <= units ? CR_SUCCESS : CR_BUFFER_SMALL;
}

/* SeLoadDriverPrivilege is switched on in the token of this process. */
static BOOL load_driver_privilege(void)
{
    PRIVILEGE_SET wanted = {1, PRIVILEGE_SET_ALL_NECESSARY, {{{0, 0}, 0}}};
    HANDLE token;
    BOOL has = FALSE;
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token)) return FALSE;
    LookupPrivilegeValueW(NULL, L"SeLoadDriverPrivilege", &wanted.Privilege[0].Luid);
    PrivilegeCheck(token, &wanted, &has);
    CloseHandle(token);
    return has;
}

static CONFIGRET remove_node(unsigned code, DEVINST number, PNP_VETO_TYPE *type, WCHAR *name, ULONG units)
{
    struct rig_node_request request = {number - FIRST_NODE, role, load_driver_privilege(), 0};
    struct rig_veto veto = {0};
    if (!rig_control(code, &request, sizeof(request), &veto, sizeof(veto), NULL)) return CR_FAILURE;
    if (type) *type = veto.type;
    if (name && units) wide(veto.name, name, units);
    return veto.config_return;
}

CONFIGRET WINAPI rig_CM_Request_Device_EjectW(DEVINST number, PNP_VETO_TYPE *type, WCHAR *name, ULONG units, ULONG flags)
{
    (void)flags;
    return remove_node(RIG_EJECT_NODE, number, type, name, units);
}

CONFIGRET WINAPI rig_CM_Query_And_Remove_SubTreeW(DEVINST number, PNP_VETO_TYPE *type, WCHAR *name, ULONG units, ULONG flags)
{
    (void)flags;
    return remove_node(RIG_REMOVE_SUBTREE, number, type, name, units);
}

static CONFIGRET enable(unsigned code, DEVINST number)
{
    struct rig_node_request request = {number - FIRST_NODE, role, 0, 0};
    return rig_control(code, &request, sizeof(request), NULL, 0, NULL) ? CR_SUCCESS : CR_ACCESS_DENIED;
}

CONFIGRET WINAPI rig_CM_Enable_DevNode(DEVINST number, ULONG flags)
{
    (void)flags;
    return enable(RIG_ENABLE_NODE, number);
}

CONFIGRET WINAPI rig_CM_Setup_DevNode(DEVINST number, ULONG flags)
{
    (void)flags;
    return enable(RIG_ENABLE_NODE, number);
}

CONFIGRET WINAPI rig_CM_Reenumerate_DevNode(DEVINST number, ULONG flags)
{
    (void)flags;
    return enable(RIG_ENABLE_NODE, number);
}
