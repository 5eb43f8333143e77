/* Restart Manager (restartmanager.h): applications of registered processes, and their shutdown.
 *
 * Source: documentation pages RmShutdown ("the RmForceShutdown flag ends unresponsive applications"; it
 * fails with ERROR_FAIL_SHUTDOWN where one did not stop), RmGetList, RmRegisterResources ("service short names"),
 * RmRestart ("restarts applications that have been shut down by RmShutdown": services among them, within the
 * session that stopped them). A holder of the rig stops when it is asked, unless it was started as "stubborn". */
#include "interpose.h"
#include <restartmanager.h>

#define MOST 16
#define PATIENCE 5000
#define FAIL_SHUTDOWN 351 /* ERROR_FAIL_SHUTDOWN of winerror.h */

static struct { DWORD process; FILETIME started; } registered[MOST];
static unsigned count;
static WCHAR service[64];  /* registered by its short name */
static BOOL stopped;       /* or asked to stop, by this session */

static void note(const char *call, const char *result)
{
    char line[128];
    _snprintf(line, sizeof(line), "%s %s", call, result);
    rig_control(RIG_WRITE_JOURNAL, line, strlen(line), NULL, 0, NULL);
}

DWORD WINAPI rig_RmStartSession(DWORD *session, DWORD flags, WCHAR *key)
{
    (void)flags;
    *session = 1;
    wcscpy(key, L"rig");
    count = 0;
    service[0] = 0;
    stopped = FALSE;
    return ERROR_SUCCESS;
}

DWORD WINAPI rig_RmRegisterResources(DWORD session, UINT files, const WCHAR *paths[], UINT processes, RM_UNIQUE_PROCESS *process,
                                     UINT services, const WCHAR *names[])
{
    UINT i;
    (void)session, (void)files, (void)paths;
    if (services) wcsncpy(service, names[0], 63);
    for (i = 0; i < processes && count < MOST; i++, count++) {
        registered[count].process = process[i].dwProcessId;
        registered[count].started = process[i].ProcessStartTime;
    }
    return ERROR_SUCCESS;
}

DWORD WINAPI rig_RmGetList(DWORD session, UINT *needed, UINT *room, RM_PROCESS_INFO *info, DWORD *reasons)
{
    UINT i;
    (void)session;
    *needed = count;
    if (reasons) *reasons = RmRebootReasonNone;
    if (*room < count) return ERROR_MORE_DATA;
    *room = count;
    for (i = 0; i < count; i++) {
        memset(&info[i], 0, sizeof(info[i]));
        info[i].Process.dwProcessId = registered[i].process;
        info[i].Process.ProcessStartTime = registered[i].started;
        wcscpy(info[i].strAppName, L"Rig Holder");
        info[i].ApplicationType = RmMainWindow;
        info[i].AppStatus = RmStatusRunning;
        info[i].bRestartable = TRUE;
    }
    return ERROR_SUCCESS;
}

static BOOL shut_down(DWORD id, BOOL force)
{
    WCHAR name[64];
    HANDLE event, process = OpenProcess(SYNCHRONIZE | PROCESS_TERMINATE, FALSE, id);
    BOOL ended;
    if (!process) return TRUE;
    swprintf(name, 64, L"WindowsRigClose-%lu", id);
    event = OpenEventW(EVENT_MODIFY_STATE, FALSE, name);
    if (event) SetEvent(event);
    ended = WaitForSingleObject(process, event ? PATIENCE : 1000) == WAIT_OBJECT_0;
    if (!ended && force) ended = TerminateProcess(process, 1) && WaitForSingleObject(process, PATIENCE) == WAIT_OBJECT_0;
    if (event) CloseHandle(event);
    CloseHandle(process);
    return ended;
}

static SC_HANDLE open_service(SC_HANDLE *manager)
{
    *manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT);
    return OpenServiceW(*manager, service, SERVICE_ALL_ACCESS);
}

static BOOL stop_service(void)
{
    SC_HANDLE manager, handle = open_service(&manager);
    SERVICE_STATUS status = {0};
    unsigned tries;
    BOOL ok = handle && ControlService(handle, SERVICE_CONTROL_STOP, &status);
    for (tries = 0; ok && tries < PATIENCE / 100 && status.dwCurrentState != SERVICE_STOPPED; tries++) {
        Sleep(100);
        QueryServiceStatus(handle, &status);
    }
    CloseServiceHandle(handle);
    CloseServiceHandle(manager);
    return ok && status.dwCurrentState == SERVICE_STOPPED;
}

static BOOL restart_service(void)
{
    SC_HANDLE manager, handle = open_service(&manager);
    BOOL ok = handle && StartServiceW(handle, 0, NULL);
    CloseServiceHandle(handle);
    CloseServiceHandle(manager);
    return ok;
}

DWORD WINAPI rig_RmShutdown(DWORD session, ULONG flags, RM_WRITE_STATUS_CALLBACK status)
{
    BOOL all = TRUE;
    unsigned i;
    (void)session;
    /* What ends has closed its files before its end is noted below: a lock may come in between. */
    note(service[0] ? "RmShutdown of a service" : "RmShutdown", "-> asked");
    if (service[0]) {
        stopped = TRUE;
        all = stop_service();
        note("RmShutdown of a service", all ? "-> stopped" : "-> remains");
    }
    for (i = 0; i < count; i++) {
        BOOL ended = shut_down(registered[i].process, flags & RmForceShutdown);
        note(flags & RmForceShutdown ? "RmShutdown (force)" : "RmShutdown", ended ? "-> ended" : "-> remains");
        if (status) status(100 * (i + 1) / count);
        all = all && ended;
    }
    return all ? ERROR_SUCCESS : FAIL_SHUTDOWN;
}

DWORD WINAPI rig_RmRestart(DWORD session, DWORD flags, RM_WRITE_STATUS_CALLBACK status)
{
    BOOL ok = stopped && restart_service();
    (void)session, (void)flags, (void)status;
    note("RmRestart", ok ? "-> started" : "-> nothing");
    return ok ? ERROR_SUCCESS : FAIL_SHUTDOWN;
}

DWORD WINAPI rig_RmEndSession(DWORD session)
{
    (void)session;
    return ERROR_SUCCESS;
}
