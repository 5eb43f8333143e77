/* Replacement of functions in a program's import table, in memory; its file stays as it is. */
#include "interpose.h"
#include <shellapi.h>

#define REPLACED(F) \
    F(CreateFileW) F(DeviceIoControl) F(NtQueryObject) F(GetFileInformationByHandleEx) F(GetFileInformationByHandle) \
    F(GetFileType) F(GetFileAttributesW) F(GetCurrentDirectoryW) F(SetCurrentDirectoryW) F(AdjustTokenPrivileges) F(GetTokenInformation) F(GetConsoleOutputCP) \
    F(FindFirstVolumeW) F(FindNextVolumeW) F(FindVolumeClose) F(GetVolumePathNamesForVolumeNameW) \
    F(GetVolumeNameForVolumeMountPointW) F(GetVolumePathNameW) F(GetVolumeInformationW) F(GetDiskFreeSpaceExW) \
    F(GetDriveTypeW) F(GetLogicalDrives) F(QueryDosDeviceW) F(SetupDiGetClassDevsW) F(SetupDiDestroyDeviceInfoList) \
    F(SetupDiEnumDeviceInterfaces) F(SetupDiGetDeviceInterfaceDetailW) F(CM_Get_Parent) F(CM_Get_Child) F(CM_Get_Sibling) \
    F(CM_Get_Device_IDW) F(CM_Get_DevNode_Registry_PropertyW) F(CM_Get_DevNode_PropertyW) F(CM_Get_DevNode_Status) \
    F(CM_Locate_DevNodeW) F(CM_Request_Device_EjectW) F(CM_Query_And_Remove_SubTreeW) F(CM_Enable_DevNode) \
    F(CM_Reenumerate_DevNode) F(CM_Setup_DevNode) F(CM_Get_Device_Interface_ListW) F(CM_Get_Device_Interface_List_SizeW) \
    F(ShellExecuteExW) F(OpenProcess) F(GetTempPathW) F(EnumWindows) F(IsWindowVisible) \
    F(GetWindowThreadProcessId) F(InternalGetWindowText) F(CM_Get_Device_ID_ListW) F(CM_Get_Device_ID_List_SizeW) \
    F(GetModuleFileNameW) F(CopyFileExW) F(QueryFullProcessImageNameW) F(GetStorageDependencyInformation) F(OpenVirtualDisk) F(DetachVirtualDisk) F(RmStartSession) \
    F(RmRegisterResources) F(RmGetList) F(RmShutdown) F(RmRestart) F(RmEndSession) F(CreateProcessW) F(GetProcAddress)

#define DECLARE(name) void rig_##name(void);
REPLACED(DECLARE)

#define ROW(name) {#name, rig_##name},
static const struct { const char *name; void (*function)(void); } table[] = {REPLACED(ROW)};

void *replacement(const char *name)
{
    unsigned i;
    for (i = 0; i < sizeof(table) / sizeof(*table); i++)
        if (!strcmp(table[i].name, name)) return (void *)table[i].function;
    return NULL;
}

static void replace_imports(char *module)
{
    IMAGE_NT_HEADERS *headers = (void *)(module + ((IMAGE_DOS_HEADER *)module)->e_lfanew);
    IMAGE_DATA_DIRECTORY *directory = &headers->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_IMPORT];
    IMAGE_IMPORT_DESCRIPTOR *library = (void *)(module + directory->VirtualAddress);
    for (; library->Name; library++) {
        IMAGE_THUNK_DATA *name = (void *)(module + library->OriginalFirstThunk);
        IMAGE_THUNK_DATA *address = (void *)(module + library->FirstThunk);
        for (; name->u1.AddressOfData; name++, address++) {
            void *function;
            DWORD before;
            if (IMAGE_SNAP_BY_ORDINAL(name->u1.Ordinal)) continue;
            function = replacement(((IMAGE_IMPORT_BY_NAME *)(module + name->u1.AddressOfData))->Name);
            if (!function) continue;
            VirtualProtect(&address->u1.Function, sizeof(void *), PAGE_READWRITE, &before);
            address->u1.Function = (ULONG_PTR)function;
            VirtualProtect(&address->u1.Function, sizeof(void *), before, &before);
        }
    }
}

#undef GetProcAddress
FARPROC WINAPI rig_GetProcAddress_(HMODULE module, const char *name) __asm__("rig_GetProcAddress");
FARPROC WINAPI rig_GetProcAddress_(HMODULE module, const char *name)
{
    BOOL by_name = (ULONG_PTR)name >> 16 != 0;
    void *function = by_name ? replacement(name) : NULL;
    if (by_name && hides_wine(name)) return (FARPROC)(ULONG_PTR)fail(ERROR_PROC_NOT_FOUND);
    return function ? (FARPROC)function : GetProcAddress(module, name);
}

/* Loads this DLL into a process that has not run yet. */
static BOOL inject(HANDLE process)
{
    WCHAR path[MAX_PATH];
    HMODULE self;
    HANDLE thread;
    void *remote;
    GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT, (void *)inject, &self);
    GetModuleFileNameW(self, path, MAX_PATH);
    remote = VirtualAllocEx(process, NULL, sizeof(path), MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);
    if (!remote || !WriteProcessMemory(process, remote, path, sizeof(path), NULL)) return FALSE;
    thread = CreateRemoteThread(process, NULL, 0, (LPTHREAD_START_ROUTINE)(void *)LoadLibraryW, remote, 0, NULL);
    if (!thread) return FALSE;
    WaitForSingleObject(thread, 30000);
    CloseHandle(thread);
    return TRUE;
}

BOOL rig_start(WCHAR *line, const WCHAR *directory, PROCESS_INFORMATION *process)
{
    STARTUPINFOW start = {.cb = sizeof(start)};
    SetEnvironmentVariableW(L"WINDOWS_RIG_INSIDE", L"1");
    if (!CreateProcessW(NULL, line, NULL, NULL, TRUE, CREATE_SUSPENDED, NULL, directory, &start, process)) return FALSE;
    if (!inject(process->hProcess)) return FALSE;
    ResumeThread(process->hThread);
    return TRUE;
}

BOOL WINAPI rig_CreateProcessW_(const WCHAR *program, WCHAR *line, SECURITY_ATTRIBUTES *security, SECURITY_ATTRIBUTES *thread,
                                BOOL inherit, DWORD flags, void *environment, const WCHAR *directory, STARTUPINFOW *start,
                                PROCESS_INFORMATION *process) __asm__("rig_CreateProcessW");
BOOL WINAPI rig_CreateProcessW_(const WCHAR *program, WCHAR *line, SECURITY_ATTRIBUTES *security, SECURITY_ATTRIBUTES *thread,
                                BOOL inherit, DWORD flags, void *environment, const WCHAR *directory, STARTUPINFOW *start,
                                PROCESS_INFORMATION *process)
{
    char text[512];
    struct rig_state *state = get_state();
    /* AppLocker and Software Restriction Policies: ERROR_ACCESS_DISABLED_BY_POLICY. */
    BOOL forbidden = state->forbids_programs && program && wcsstr(program, L"\\Temp\\");
    free(state);
    if (program) {
        _snprintf(text, sizeof(text), "CreateProcess %ls", program);
        rig_control(RIG_WRITE_JOURNAL, text, strlen(text), NULL, 0, NULL);
    }
    if (forbidden) return fail(ERROR_ACCESS_DISABLED_BY_POLICY);
    if (!CreateProcessW(program, line, security, thread, inherit, flags | CREATE_SUSPENDED, environment, directory, start, process))
        return FALSE;
    inject(process->hProcess);
    if (!(flags & CREATE_SUSPENDED)) ResumeThread(process->hThread);
    return TRUE;
}

BOOL WINAPI rig_ShellExecuteExW_(SHELLEXECUTEINFOW *info) __asm__("rig_ShellExecuteExW");
/* "runas": the program as an administrator. It inherits no handles. */
BOOL WINAPI rig_ShellExecuteExW_(SHELLEXECUTEINFOW *info)
{
    STARTUPINFOW start = {.cb = sizeof(start)};
    PROCESS_INFORMATION process;
    WCHAR line[4096];
    char text[4096];
    BOOL ok;
    if (!info->lpVerb || _wcsicmp(info->lpVerb, L"runas")) return ShellExecuteExW(info);
    swprintf(line, 4096, L"\"%ls\" %ls", info->lpFile, info->lpParameters ? info->lpParameters : L"");
    _snprintf(text, sizeof(text), "ShellExecuteEx runas %ls", info->lpParameters ? info->lpParameters : L"");
    rig_control(RIG_WRITE_JOURNAL, text, strlen(text), NULL, 0, NULL);
    SetEnvironmentVariableW(L"WINDOWS_RIG_ELEVATED", L"1");
    ok = rig_CreateProcessW_(NULL, line, NULL, NULL, FALSE, 0, NULL, info->lpDirectory, &start, &process);
    SetEnvironmentVariableW(L"WINDOWS_RIG_ELEVATED", NULL);
    if (ok) info->hProcess = process.hProcess;
    return ok;
}

BOOL WINAPI DllMain(HINSTANCE self, DWORD reason, void *reserved)
{
    (void)self;
    (void)reserved;
    if (reason == DLL_PROCESS_ATTACH && GetEnvironmentVariableW(L"WINDOWS_RIG_INSIDE", NULL, 0)) {
        replace_imports((char *)GetModuleHandleW(NULL));
        enter_scenario();
        /* Processes that this one starts are not in the scenario's directory. */
        SetEnvironmentVariableW(L"WINDOWS_RIG_INSIDE", L"2");
    }
    return TRUE;
}
