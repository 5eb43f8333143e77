/* Restart Manager (restartmanager.h): applications of registered processes, and their shutdown.
 *
 * Source: documentation pages RmShutdown ("the RmForceShutdown flag ends unresponsive applications"; it
 * fails with ERROR_FAIL_SHUTDOWN where one did not stop), RmGetList, RmRestart. A holder of the rig stops when it is asked, unless it was
 * started as "stubborn". */
#include "interpose.h"
#include <restartmanager.h>

#define MOST 16
#define PATIENCE 5000
#define FAIL_SHUTDOWN 351 /* ERROR_FAIL_SHUTDOWN of winerror.h */

static struct { DWORD process; FILETIME started; } registered[MOST];
static unsigned count;

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
    return ERROR_SUCCESS;
}

DWORD WINAPI rig_RmRegisterResources(DWORD session, UINT files, const WCHAR *paths[], UINT processes, RM_UNIQUE_PROCESS *process,
                                     UINT services, const WCHAR *names[])
{
    UINT i;
    (void)session, (void)files, (void)paths, (void)services, (void)names;
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

DWORD WINAPI rig_RmShutdown(DWORD session, ULONG flags, RM_WRITE_STATUS_CALLBACK status)
{
    BOOL all = TRUE;
    unsigned i;
    (void)session;
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
    (void)session, (void)flags, (void)status;
    note("RmRestart", "-> SUCCESS");
    return ERROR_SUCCESS;
}

DWORD WINAPI rig_RmEndSession(DWORD session)
{
    (void)session;
    return ERROR_SUCCESS;
}
