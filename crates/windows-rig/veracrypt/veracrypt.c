/* Stand-in for VeraCrypt.exe, which dismounts the container of the scenario without force.
 *
 * Source: "Command Line Usage for Windows" of VeraCrypt's documentation: /dismount with a letter, /quit, /silent. */
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#include <winioctl.h>
#include <stdio.h>
#include "../interface.h"

static BOOL control(DWORD code, const void *in, DWORD size)
{
    DWORD written;
    HANDLE device = CreateFileW(L"\\\\.\\WindowsRig", GENERIC_READ | GENERIC_WRITE, 3, NULL, OPEN_EXISTING, 0, NULL);
    BOOL ok = DeviceIoControl(device, code, (void *)in, size, NULL, 0, &written, NULL);
    CloseHandle(device);
    return ok;
}

int main(int count, char **words)
{
    char line[128];
    int i, at = sprintf(line, "VeraCrypt");
    for (i = 1; i < count && at < 100; i++) at += _snprintf(line + at, 20, " %s", words[i]);
    control(RIG_WRITE_JOURNAL, line, at);
    if (count != 5 || strcmp(words[1], "/dismount") || strcmp(words[3], "/quit") || strcmp(words[4], "/silent")) return 1;
    return control(RIG_DISMOUNT_CONTAINER, NULL, 0) ? 0 : 1;
}
