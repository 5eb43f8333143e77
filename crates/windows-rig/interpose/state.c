/* Requests to the driver. */
#include "interpose.h"

unsigned role = RIG_ROLE_UNMOOR;

BOOL rig_control(unsigned code, void *in, unsigned in_size, void *out, unsigned out_size, DWORD *written)
{
    DWORD size = 0, error;
    BOOL ok;
    HANDLE control = CreateFileW(L"\\\\.\\WindowsRig", GENERIC_READ | GENERIC_WRITE, 3, NULL, OPEN_EXISTING, 0, NULL);
    if (control == INVALID_HANDLE_VALUE) return FALSE;
    ok = DeviceIoControl(control, code, in, in_size, out, out_size, written ? written : &size, NULL);
    error = GetLastError();
    CloseHandle(control);
    SetLastError(error);
    return ok;
}

struct rig_state *get_state(void)
{
    DWORD error = GetLastError();
    struct rig_state *state = calloc(1, sizeof(*state));
    if (!state) abort();
    if (!rig_control(RIG_GET_STATE, NULL, 0, state, sizeof(*state), NULL)) memset(state, 0, sizeof(*state));
    SetLastError(error);
    return state;
}

BOOL is_rig_handle(HANDLE handle, char *path, DWORD size)
{
    DWORD error = GetLastError(), written = 0;
    BOOL ok;
    memset(path, 0, size);
    ok = DeviceIoControl(handle, RIG_FILE_NAME, NULL, 0, path, size - 1, &written, NULL);
    SetLastError(error);
    return ok;
}

WCHAR *wide(const char *text, WCHAR *to, unsigned units)
{
    if (!MultiByteToWideChar(CP_UTF8, 0, text, -1, to, units)) to[0] = 0;
    return to;
}

char *narrow(const WCHAR *text, char *to, unsigned size)
{
    if (!WideCharToMultiByte(CP_UTF8, 0, text, -1, to, size, NULL, NULL)) to[0] = 0;
    return to;
}

DWORD fail(DWORD error)
{
    SetLastError(error);
    return 0;
}
