/* Driver of VeraCrypt: the list of mounted containers (Apidrvr.h, TC_IOCTL_GET_MOUNTED_VOLUMES). */
#include "interpose.h"

#define TC_IOCTL_GET_MOUNTED_VOLUMES 0x222018
#define LIST_SIZE 17536 /* a little less than MOUNT_LIST_STRUCT of VeraCrypt 1.26; shorter buffers are refused */
#define PATH_SIZE 520

static HANDLE opened;

/* A handle of the driver, or NULL where the path is not its. */
HANDLE open_container_driver(struct rig_state *state, const WCHAR *path)
{
    if (!state->container[0] || _wcsicmp(path, L"\\\\.\\VeraCrypt")) return NULL;
    return opened = CreateFileW(L"\\\\.\\WindowsRig", GENERIC_READ | GENERIC_WRITE, 3, NULL, OPEN_EXISTING, 0, NULL);
}

/* Returns false where the request is not for the driver. Otherwise the result is in `ok`. */
BOOL container_control(HANDLE handle, DWORD code, DWORD in_size, void *out, DWORD out_size, DWORD *written, BOOL *ok)
{
    struct rig_state *state;
    WCHAR source[RIG_LONG], path[PATH_SIZE / 2] = L"\\??\\";
    unsigned letter;
    if (handle != opened || code != TC_IOCTL_GET_MOUNTED_VOLUMES) return FALSE;
    *ok = FALSE;
    if (in_size < LIST_SIZE || out_size < LIST_SIZE) { SetLastError(ERROR_INVALID_PARAMETER); return TRUE; }
    state = get_state();
    letter = state->container[0] - 'A';
    wcscat(path, wide(state->container + 2, source, RIG_LONG));
    free(state);
    memset(out, 0, LIST_SIZE);
    *(unsigned *)out = 1u << letter;
    memcpy((char *)out + 4 + letter * PATH_SIZE, path, sizeof(path));
    *written = LIST_SIZE;
    *ok = TRUE;
    return TRUE;
}
