/* Opening, controlling and naming of files and devices. */
#include "interpose.h"
#include <tlhelp32.h>

NTSTATUS NTAPI NtQueryObject_(HANDLE, int, void *, ULONG, ULONG *) __asm__("NtQueryObject");

/* Opens the device, and has the driver apply the rules of opening. */
HANDLE open_place(const struct place *place, DWORD access, DWORD share)
{
    struct rig_open request = {access, share, role, ""};
    DWORD written, error;
    HANDLE handle = CreateFileW(place->device, access, share, NULL, OPEN_EXISTING, 0, NULL);
    if (handle == INVALID_HANDLE_VALUE) return handle;
    strcpy(request.path, place->path);
    if (DeviceIoControl(handle, RIG_OPEN, &request, sizeof(request), NULL, 0, &written, NULL)) {
        SetLastError(0);
        return handle;
    }
    error = GetLastError();
    CloseHandle(handle);
    SetLastError(error);
    return INVALID_HANDLE_VALUE;
}

HANDLE WINAPI rig_CreateFileW(const WCHAR *path, DWORD access, DWORD share, SECURITY_ATTRIBUTES *security,
                              DWORD disposition, DWORD flags, HANDLE template)
{
    struct rig_state *state = get_state();
    struct place place;
    HANDLE handle = open_hub(state, path, access);
    if (!handle) handle = open_container_driver(state, path);
    if (handle) ;
    else if (find_place(state, path, &place)) handle = open_place(&place, access, share);
    else handle = CreateFileW(path, access, share, security, disposition, flags, template);
    free(state);
    return handle;
}

EXPORT HANDLE rig_hold(const WCHAR *path, DWORD access)
{
    role = RIG_ROLE_HOLDER;
    return rig_CreateFileW(path, access, 3, NULL, OPEN_EXISTING, 0, NULL);
}

BOOL WINAPI rig_DeviceIoControl(HANDLE handle, DWORD code, void *in, DWORD in_size, void *out, DWORD out_size,
                                DWORD *written, OVERLAPPED *overlapped)
{
    char path[RIG_LONG];
    BOOL ok;
    if (container_control(handle, code, in_size, out, out_size, written, &ok)) return ok;
    if (hub_control(handle, code, in, in_size, &ok)) return ok;
    if (code >> 16 == FILE_DEVICE_FILE_SYSTEM && is_rig_handle(handle, path, sizeof(path))) code = RIG_FSCTL(code);
    return DeviceIoControl(handle, code, in, in_size, out, out_size, written, overlapped);
}

/* Wine knows the name of the device alone; the driver knows the file's. */
NTSTATUS NTAPI rig_NtQueryObject(HANDLE handle, int class, void *room, ULONG size, ULONG *returned)
{
    char path[RIG_LONG];
    WCHAR units[RIG_LONG];
    UNICODE_STRING *name = room;
    NTSTATUS status = NtQueryObject_(handle, class, room, size, returned);
    unsigned length;
    if (class != 1 || status || !name->Buffer || !is_rig_handle(handle, path, sizeof(path)) || !path[0]) return status;
    wide(path, units, RIG_LONG);
    length = wcslen(units) * 2;
    if (sizeof(*name) + name->Length + length + 2 > size) return (NTSTATUS)0xC0000004;
    memcpy((char *)name->Buffer + name->Length, units, length + 2);
    name->Length += length;
    name->MaximumLength = name->Length + 2;
    if (returned) *returned = sizeof(*name) + name->MaximumLength;
    return status;
}

static BOOL is_folder(const char *path)
{
    return path[0] && path[strlen(path) - 1] == '\\';
}

BOOL WINAPI rig_GetFileInformationByHandleEx(HANDLE handle, FILE_INFO_BY_HANDLE_CLASS class, void *room, DWORD size)
{
    char path[RIG_LONG];
    if (!is_rig_handle(handle, path, sizeof(path))) return GetFileInformationByHandleEx(handle, class, room, size);
    if (class != FileStandardInfo || size < sizeof(FILE_STANDARD_INFO) || !path[0]) return fail(ERROR_INVALID_PARAMETER);
    memset(room, 0, size);
    ((FILE_STANDARD_INFO *)room)->NumberOfLinks = 1;
    ((FILE_STANDARD_INFO *)room)->Directory = is_folder(path);
    return TRUE;
}

BOOL WINAPI rig_GetFileInformationByHandle(HANDLE handle, BY_HANDLE_FILE_INFORMATION *info)
{
    char path[RIG_LONG];
    if (!is_rig_handle(handle, path, sizeof(path))) return GetFileInformationByHandle(handle, info);
    memset(info, 0, sizeof(*info));
    info->dwFileAttributes = is_folder(path) ? FILE_ATTRIBUTE_DIRECTORY : FILE_ATTRIBUTE_NORMAL;
    info->nNumberOfLinks = 1;
    return TRUE;
}

/* GetFileType is NtQueryVolumeInformationFile, for which the I/O manager takes the lock of a file object
 * that was opened for synchronous I/O; a blocked read of a pipe holds that lock (ReactOS ntoskrnl/io/
 * iomgr/iofunc.c, IopLockFileObject; System Informer, hndlinfo.c). */
DWORD WINAPI rig_GetFileType(HANDLE handle)
{
    DWORD type = GetFileType(handle);
    char path[RIG_LONG];
    if (type == FILE_TYPE_UNKNOWN && is_rig_handle(handle, path, sizeof(path))) return FILE_TYPE_DISK;
    if (type == FILE_TYPE_PIPE) {
        char room[1024] = {0};
        UNICODE_STRING *name = (void *)room;
        if (!NtQueryObject_(handle, 1, room, sizeof(room) - 2, NULL) && name->Buffer && wcsstr(name->Buffer, L"rig-stuck")) {
            struct rig_state *state = get_state();
            BOOL stuck = state->stuck_pipes;
            free(state);
            if (stuck) SleepEx(INFINITE, FALSE);
        }
    }
    return type;
}

DWORD WINAPI rig_GetFileAttributesW(const WCHAR *path)
{
    struct rig_state *state = get_state();
    struct place place;
    BOOL ours = find_place(state, path, &place);
    free(state);
    if (!ours) return GetFileAttributesW(path);
    return is_folder(place.path) ? FILE_ATTRIBUTE_DIRECTORY : FILE_ATTRIBUTE_NORMAL;
}

/* The current directory on a volume of the scenario: an open folder of this process. */
static HANDLE directory = INVALID_HANDLE_VALUE;
static WCHAR directory_path[RIG_LONG];

/* The program as a file of the scenario; what it is called in it, and the process that runs it. */
static WCHAR program_path[RIG_LONG];
static DWORD program_process;

/* Opens the program's file as a running program does: counted, but in nobody's table of handles. */
static void enter_program(struct rig_state *state)
{
    WCHAR number[16] = {0};
    struct place place;
    GetEnvironmentVariableW(L"WINDOWS_RIG_STARTER", number, 16);
    program_process = _wtoi(number);
    wide(state->program, program_path, RIG_LONG);
    if (program_process || !program_path[0] || !find_place(state, program_path, &place)) return;
    role = RIG_ROLE_IMAGE;
    open_place(&place, 0x100020, 3);
    role = RIG_ROLE_UNMOOR;
    program_process = GetCurrentProcessId();
    swprintf(number, 16, L"%lu", program_process);
    SetEnvironmentVariableW(L"WINDOWS_RIG_STARTER", number);
}

DWORD WINAPI rig_GetModuleFileNameW(HMODULE module, WCHAR *room, DWORD units)
{
    if (module || program_process != GetCurrentProcessId()) return GetModuleFileNameW(module, room, units);
    wcsncpy(room, program_path, units);
    return wcslen(program_path);
}

DWORD WINAPI rig_GetTempPathW(DWORD units, WCHAR *room)
{
    struct rig_state *state = get_state();
    WCHAR path[RIG_LONG];
    wide(state->temporary, path, RIG_LONG);
    free(state);
    if (!path[0]) return GetTempPathW(units, room);
    if (wcslen(path) >= units) return wcslen(path) + 1;
    wcscpy(room, path);
    return wcslen(path);
}

BOOL WINAPI rig_CopyFileExW(const WCHAR *from, const WCHAR *to, LPPROGRESS_ROUTINE progress, void *data, BOOL *cancel, DWORD flags)
{
    WCHAR self[MAX_PATH];
    GetModuleFileNameW(NULL, self, MAX_PATH);
    return CopyFileExW(program_path[0] && wcsstr(from, program_path) ? self : from, to, progress, data, cancel, flags);
}

BOOL WINAPI rig_QueryFullProcessImageNameW(HANDLE process, DWORD form, WCHAR *room, DWORD *units)
{
    struct rig_state *state;
    struct place place;
    if (!program_process || GetProcessId(process) != program_process) return QueryFullProcessImageNameW(process, form, room, units);
    state = get_state();
    if (form == PROCESS_NAME_NATIVE && find_place(state, program_path, &place) && place.volume)
        *units = swprintf(room, *units, L"%hs%hs", place.volume->kernel, place.path);
    else *units = swprintf(room, *units, L"%ls", program_path);
    free(state);
    return TRUE;
}

/* An administrator's token has its privileges switched off until they are asked for. */
static void switch_off(const WCHAR *name)
{
    TOKEN_PRIVILEGES privilege = {1, {{{0, 0}, 0}}};
    HANDLE token;
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_ADJUST_PRIVILEGES, &token)) return;
    LookupPrivilegeValueW(NULL, name, &privilege.Privileges[0].Luid);
    AdjustTokenPrivileges(token, FALSE, &privilege, 0, NULL, NULL);
    CloseHandle(token);
}

void enter_scenario(void)
{
    struct rig_state *state = get_state();
    struct place place;
    WCHAR inside[4] = {0};
    if (GetEnvironmentVariableW(L"WINDOWS_RIG_ELEVATED", NULL, 0)) role = RIG_ROLE_ADMINISTRATOR;
    if (state->no_console) switch_off(L"SeLoadDriverPrivilege");
    enter_program(state);
    GetEnvironmentVariableW(L"WINDOWS_RIG_INSIDE", inside, 4);
    if (inside[0] != '1') state->current_directory[0] = 0;
    wide(state->current_directory, directory_path, RIG_LONG);
    if (directory_path[0] && find_place(state, directory_path, &place)) directory = open_place(&place, 0x100020, 3);
    free(state);
}

DWORD WINAPI rig_GetCurrentDirectoryW(DWORD size, WCHAR *room)
{
    DWORD length = wcslen(directory_path);
    if (directory == INVALID_HANDLE_VALUE) return GetCurrentDirectoryW(size, room);
    if (size <= length) return length + 1;
    wcscpy(room, directory_path);
    return length;
}

BOOL WINAPI rig_SetCurrentDirectoryW(const WCHAR *path)
{
    if (!SetCurrentDirectoryW(path)) return FALSE;
    if (directory != INVALID_HANDLE_VALUE) CloseHandle(directory);
    directory = INVALID_HANDLE_VALUE;
    return TRUE;
}

BOOL WINAPI rig_AdjustTokenPrivileges(HANDLE token, BOOL disable, TOKEN_PRIVILEGES *new, DWORD size,
                                      TOKEN_PRIVILEGES *before, DWORD *returned)
{
    struct rig_state *state = get_state();
    BOOL restricted = state->restricted && role == RIG_ROLE_UNMOOR;
    free(state);
    if (!restricted) return AdjustTokenPrivileges(token, disable, new, size, before, returned);
    if (before && size >= sizeof(*before)) memset(before, 0, sizeof(*before));
    SetLastError(ERROR_NOT_ALL_ASSIGNED);
    return TRUE;
}

static BOOL is_services(DWORD process)
{
    PROCESSENTRY32W entry = {.dwSize = sizeof(entry)};
    HANDLE snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
    BOOL found = FALSE, more;
    for (more = Process32FirstW(snapshot, &entry); more && !found; more = Process32NextW(snapshot, &entry))
        found = entry.th32ProcessID == process && !_wcsicmp(entry.szExeFile, L"services.exe");
    CloseHandle(snapshot);
    return found;
}

/* A protected process (PROTECTION_LEVEL of PsProtectedType) is closed to administrators too: "Process Security and
 * Access Rights", "Protected Processes". */
HANDLE WINAPI rig_OpenProcess(DWORD access, BOOL inherit, DWORD process)
{
    struct rig_state *state = get_state();
    BOOL protected_process = state->protected_process && is_services(process);
    free(state);
    if (!protected_process) return OpenProcess(access, inherit, process);
    SetLastError(ERROR_ACCESS_DENIED);
    return NULL;
}

/* The code page of a console of Windows in Western Europe; Wine's is that of Linux. */
UINT WINAPI rig_GetConsoleOutputCP(void)
{
    return 850;
}

/* The elevation of a token follows the scenario; everything else is Wine's. */
BOOL WINAPI rig_GetTokenInformation(HANDLE token, TOKEN_INFORMATION_CLASS class, void *room, DWORD size, DWORD *returned)
{
    struct rig_state *state = get_state();
    BOOL restricted = state->restricted && role == RIG_ROLE_UNMOOR;
    free(state);
    if (class != TokenElevation || size < sizeof(TOKEN_ELEVATION)) return GetTokenInformation(token, class, room, size, returned);
    ((TOKEN_ELEVATION *)room)->TokenIsElevated = !restricted;
    *returned = sizeof(TOKEN_ELEVATION);
    return TRUE;
}
