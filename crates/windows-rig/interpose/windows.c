/* Windows on the screen: each holder of the rig has one, with the title of the scenario (winuser.h). Its handle is the
 * number of its process. */
#include "interpose.h"
#include <tlhelp32.h>

static BOOL title_of(WCHAR *title, unsigned units)
{
    struct rig_state *state = get_state();
    wide(state->window_title, title, units);
    free(state);
    return title[0] != 0;
}

/* Wine is not to be recognised where the scenario has windows: unmoor asks it for none. */
BOOL hides_wine(const char *function)
{
    WCHAR title[RIG_SHORT];
    return !strcmp(function, "wine_get_version") && title_of(title, RIG_SHORT);
}

BOOL WINAPI rig_EnumWindows(WNDENUMPROC call, LPARAM parameter)
{
    PROCESSENTRY32W entry = {.dwSize = sizeof(entry)};
    HANDLE snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
    BOOL more;
    for (more = Process32FirstW(snapshot, &entry); more; more = Process32NextW(snapshot, &entry))
        if (!_wcsicmp(entry.szExeFile, L"rig.exe") && !call((HWND)(ULONG_PTR)entry.th32ProcessID, parameter)) break;
    CloseHandle(snapshot);
    return TRUE;
}

BOOL WINAPI rig_IsWindowVisible(HWND window)
{
    (void)window;
    return TRUE;
}

DWORD WINAPI rig_GetWindowThreadProcessId(HWND window, DWORD *process)
{
    if (process) *process = (DWORD)(ULONG_PTR)window;
    return 1;
}

int WINAPI rig_InternalGetWindowText(HWND window, WCHAR *room, int units)
{
    (void)window;
    return title_of(room, units) ? wcslen(room) : 0;
}
