/* Launcher: installs the driver, loads a scenario, starts holders, runs a program with the interposing DLL.
 *
 *   rig start DRIVER.SYS
 *   rig run SCENARIO JOURNAL SECONDS [--read PATH | --write PATH | --stubborn PATH | --pipes NUMBER
 *       | --service PATH | --stubborn-service PATH]... -- PROGRAM WORDS...
 *   rig hold (read|write|stubborn) PATH, rig hold pipes NUMBER   (started by "run")
 *   rig serve (service|stubborn-service) PATH                    (started by the service manager)
 *
 * Exit code of "run": the program's; 250 where it did not end in time, 251 where the rig failed. */
#define WIN32_LEAN_AND_MEAN
#define _WIN32_WINNT 0x0601
#include <windows.h>
#include <winioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>
#include "../interface.h"

#define LATE 250
#define BROKEN 251
#define MOST_HOLDERS 8
/* Services run in a session of their own. */
#define READY L"Global\\WindowsRigHolderReady"
#define ENDED L"Global\\WindowsRigProgramEnded"
#define SERVICE L"RigService"

HANDLE rig_hold(const WCHAR *path, DWORD access);
BOOL rig_start(WCHAR *line, const WCHAR *directory, PROCESS_INFORMATION *process);

static PROCESS_INFORMATION holders[MOST_HOLDERS];
static unsigned holder_count;

static int broken(const char *what)
{
    fprintf(stderr, "rig: %s failed: error %lu\n", what, GetLastError());
    return BROKEN;
}

static BOOL control(DWORD code, void *in, DWORD in_size, void *out, DWORD out_size, DWORD *written)
{
    HANDLE device = CreateFileW(L"\\\\.\\WindowsRig", GENERIC_READ | GENERIC_WRITE, 3, NULL, OPEN_EXISTING, 0, NULL);
    BOOL ok = device != INVALID_HANDLE_VALUE && DeviceIoControl(device, code, in, in_size, out, out_size, written, NULL);
    if (device != INVALID_HANDLE_VALUE) CloseHandle(device);
    return ok;
}

static int start(const WCHAR *driver)
{
    const WCHAR *name = L"WindowsRig";
    WCHAR path[MAX_PATH];
    SC_HANDLE manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_ALL_ACCESS), service;
    GetFullPathNameW(driver, MAX_PATH, path, NULL);
    service = CreateServiceW(manager, name, name, SERVICE_ALL_ACCESS, SERVICE_KERNEL_DRIVER, SERVICE_DEMAND_START,
                             SERVICE_ERROR_NORMAL, path, NULL, NULL, NULL, NULL, NULL);
    if (!service) service = OpenServiceW(manager, name, SERVICE_ALL_ACCESS);
    if (!StartServiceW(service, 0, NULL) && GetLastError() != ERROR_SERVICE_ALREADY_RUNNING) return broken("start of the driver");
    return 0;
}

static BOOL load(const WCHAR *path)
{
    static char text[65536], error[256];
    DWORD size = 0, written = 0;
    HANDLE file = CreateFileW(path, GENERIC_READ, 1, NULL, OPEN_EXISTING, 0, NULL);
    if (file == INVALID_HANDLE_VALUE || !ReadFile(file, text, sizeof(text), &size, NULL)) return FALSE;
    CloseHandle(file);
    if (!control(RIG_LOAD_SCENARIO, text, size, error, sizeof(error) - 1, &written)) return FALSE;
    if (written) fprintf(stderr, "rig: scenario: %s\n", error);
    return !written;
}

static BOOL save_journal(const WCHAR *path)
{
    static char text[65536];
    DWORD size = 0, written;
    HANDLE file;
    BOOL ok = control(RIG_READ_JOURNAL, NULL, 0, text, sizeof(text), &size);
    file = CreateFileW(path, GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, 0, NULL);
    ok = ok && WriteFile(file, text, size, &written, NULL);
    CloseHandle(file);
    return ok;
}

static DWORD WINAPI blocked_read(void *pipe)
{
    char byte;
    DWORD size;
    ReadFile(pipe, &byte, 1, &size, NULL);
    return 0;
}

/* Pipes on which a thread waits in a synchronous read. */
static void hold_pipes(int count)
{
    int i;
    for (i = 0; i < count; i++) {
        WCHAR name[64];
        HANDLE server;
        swprintf(name, 64, L"\\\\.\\pipe\\rig-stuck-%lu-%d", GetCurrentProcessId(), i);
        server = CreateNamedPipeW(name, PIPE_ACCESS_DUPLEX, PIPE_WAIT, 1, 4096, 4096, 0, NULL);
        CreateFileW(name, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
        CreateThread(NULL, 0, blocked_read, server, 0, NULL);
    }
}

static int hold(const WCHAR *how, const WCHAR *what)
{
    WCHAR close[64];
    HANDLE held = NULL, events[2], ended = OpenEventW(SYNCHRONIZE, FALSE, ENDED);
    if (!wcscmp(how, L"pipes")) hold_pipes(_wtoi(what));
    else held = rig_hold(what, wcscmp(how, L"read") ? GENERIC_READ | GENERIC_WRITE : GENERIC_READ);
    /* The Restart Manager's request to close. */
    swprintf(close, 64, L"WindowsRigClose-%lu", GetCurrentProcessId());
    events[0] = ended;
    events[1] = CreateEventW(NULL, TRUE, FALSE, wcscmp(how, L"stubborn") ? close : NULL);
    if (held == INVALID_HANDLE_VALUE) return broken("holding");
    SetEvent(OpenEventW(EVENT_MODIFY_STATE, FALSE, READY));
    /* What the handle is worth after the program has ended. */
    if (WaitForMultipleObjects(2, events, FALSE, INFINITE) != WAIT_OBJECT_0) return 0;
    if (held) FlushFileBuffers(held);
    SetEvent(OpenEventW(EVENT_MODIFY_STATE, FALSE, READY));
    Sleep(INFINITE);
    return 0;
}

/* --- A service that has a file open. A stubborn one does not accept SERVICE_CONTROL_STOP. */

static const WCHAR *served;
static BOOL stubborn;
static HANDLE stopped;
static SERVICE_STATUS_HANDLE service_status;

static void report(DWORD state)
{
    SERVICE_STATUS status = {SERVICE_WIN32_OWN_PROCESS, state, stubborn ? 0 : SERVICE_ACCEPT_STOP, NO_ERROR, 0, 0, 0};
    SetServiceStatus(service_status, &status);
}

static DWORD WINAPI service_control(DWORD control, DWORD type, void *data, void *context)
{
    (void)type, (void)data, (void)context;
    if (control == SERVICE_CONTROL_STOP) SetEvent(stopped);
    return NO_ERROR;
}

static void WINAPI service_main(DWORD count, WCHAR **words)
{
    HANDLE held, events[2] = {stopped, OpenEventW(SYNCHRONIZE, FALSE, ENDED)};
    (void)count, (void)words;
    service_status = RegisterServiceCtrlHandlerExW(SERVICE, service_control, NULL);
    held = rig_hold(served, GENERIC_READ | GENERIC_WRITE);
    report(SERVICE_RUNNING);
    SetEvent(OpenEventW(EVENT_MODIFY_STATE, FALSE, READY));
    if (WaitForMultipleObjects(2, events, FALSE, INFINITE) == WAIT_OBJECT_0 + 1) {
        if (held != INVALID_HANDLE_VALUE) FlushFileBuffers(held);
        SetEvent(OpenEventW(EVENT_MODIFY_STATE, FALSE, READY));
    }
    CloseHandle(held);
    report(SERVICE_STOPPED);
}

static int serve(const WCHAR *how, const WCHAR *path)
{
    SERVICE_TABLE_ENTRYW table[] = {{(WCHAR *)SERVICE, service_main}, {NULL, NULL}};
    served = path;
    stubborn = !wcscmp(how, L"stubborn-service");
    stopped = CreateEventW(NULL, TRUE, FALSE, NULL);
    return StartServiceCtrlDispatcherW(table) ? 0 : broken("the service");
}

/* Installs and starts the service; its process is a holder as any other. */
static BOOL start_service(const WCHAR *line, PROCESS_INFORMATION *process)
{
    SC_HANDLE manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_ALL_ACCESS);
    SC_HANDLE service = CreateServiceW(manager, SERVICE, SERVICE, SERVICE_ALL_ACCESS, SERVICE_WIN32_OWN_PROCESS,
                                       SERVICE_DEMAND_START, SERVICE_ERROR_NORMAL, line, NULL, NULL, NULL, NULL, NULL);
    SERVICE_STATUS_PROCESS status;
    DWORD size;
    BOOL ok = service && StartServiceW(service, 0, NULL)
        && QueryServiceStatusEx(service, SC_STATUS_PROCESS_INFO, (BYTE *)&status, sizeof(status), &size);
    if (ok) process->hProcess = OpenProcess(PROCESS_ALL_ACCESS, FALSE, status.dwProcessId);
    CloseServiceHandle(service);
    CloseServiceHandle(manager);
    return ok && process->hProcess;
}

static void delete_service(void)
{
    SC_HANDLE manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_ALL_ACCESS);
    SC_HANDLE service = OpenServiceW(manager, SERVICE, SERVICE_ALL_ACCESS);
    if (service) DeleteService(service);
    CloseServiceHandle(service);
    CloseServiceHandle(manager);
}

/* A program whose current directory and standard handles are not of the scenario. */
static BOOL start_holder(const WCHAR *how, const WCHAR *what, HANDLE ready)
{
    STARTUPINFOW info = {.cb = sizeof(info)};
    WCHAR self[MAX_PATH], line[1024];
    if (holder_count == MOST_HOLDERS) return FALSE;
    GetModuleFileNameW(NULL, self, MAX_PATH);
    swprintf(line, 1024, L"\"%ls\" %ls %ls \"%ls\"", self, wcsstr(how, L"service") ? L"serve" : L"hold", how, what);
    if (wcsstr(how, L"service")) {
        if (!start_service(line, &holders[holder_count])) return FALSE;
    } else if (!CreateProcessW(NULL, line, NULL, NULL, FALSE, 0, NULL, L"C:\\", &info, &holders[holder_count])) return FALSE;
    holder_count++;
    return WaitForSingleObject(ready, 30000) == WAIT_OBJECT_0;
}

static void end_holders(void)
{
    while (holder_count--) {
        TerminateProcess(holders[holder_count].hProcess, 0);
        WaitForSingleObject(holders[holder_count].hProcess, 10000);
    }
    delete_service();
}

/* The rest of the command line, as it was written, after " -- ". */
static WCHAR *program_line(void)
{
    WCHAR *at = wcsstr(GetCommandLineW(), L" -- ");
    return at ? _wcsdup(at + 4) : NULL;
}

static int run(int count, WCHAR **words)
{
    HANDLE ready = CreateEventW(NULL, FALSE, FALSE, READY);
    HANDLE ended = CreateEventW(NULL, TRUE, FALSE, ENDED);
    PROCESS_INFORMATION process;
    WCHAR *line = program_line();
    DWORD code = BROKEN;
    int i;
    if (!line || !load(words[0])) return broken("loading the scenario");
    for (i = 3; i + 1 < count && wcscmp(words[i], L"--"); i += 2)
        if (!start_holder(words[i] + 2, words[i + 1], ready)) return broken("a holder");
    if (!rig_start(line, L"C:\\", &process)) return broken("starting the program");
    if (WaitForSingleObject(process.hProcess, _wtoi(words[2]) * 1000) == WAIT_OBJECT_0) GetExitCodeProcess(process.hProcess, &code);
    else {
        TerminateProcess(process.hProcess, LATE);
        WaitForSingleObject(process.hProcess, 10000);
        code = LATE;
    }
    SetEvent(ended);
    for (i = 0; i < (int)holder_count; i++) {
        HANDLE either[2] = {ready, holders[i].hProcess};
        WaitForMultipleObjects(2, either, FALSE, 10000);
    }
    end_holders();
    if (!save_journal(words[1])) return broken("reading the journal");
    return code;
}

int wmain(int count, WCHAR **words)
{
    if (count == 3 && !wcscmp(words[1], L"start")) return start(words[2]);
    if (count == 4 && !wcscmp(words[1], L"hold")) return hold(words[2], words[3]);
    if (count == 4 && !wcscmp(words[1], L"serve")) return serve(words[2], words[3]);
    if (count > 6 && !wcscmp(words[1], L"run")) return run(count - 2, words + 2);
    fprintf(stderr, "rig: see launcher/rig.c for the words\n");
    return BROKEN;
}
