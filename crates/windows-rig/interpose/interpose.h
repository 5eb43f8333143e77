/* Internal declarations of the interposing DLL. */
#ifndef WINDOWS_RIG_INTERPOSE_H
#define WINDOWS_RIG_INTERPOSE_H

#define WIN32_LEAN_AND_MEAN
#define _WIN32_WINNT 0x0601
#include <windows.h>
#include <winioctl.h>
#include <winternl.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <stdio.h>
#include "../interface.h"

#define EXPORT __declspec(dllexport)

extern unsigned role;

/* state.c */
struct rig_state *get_state(void); /* free() it */
BOOL rig_control(unsigned code, void *in, unsigned in_size, void *out, unsigned out_size, DWORD *written);
BOOL is_rig_handle(HANDLE handle, char *path, DWORD size); /* path of the file it is of, or empty */
WCHAR *wide(const char *text, WCHAR *to, unsigned units);
char *narrow(const WCHAR *text, char *to, unsigned size);

/* paths.c */
struct place {
    struct rig_volume *volume; /* or */
    struct rig_disk *disk;
    WCHAR device[RIG_SHORT + 8]; /* how the device is opened: \\.\E: */
    WCHAR root[RIG_LONG];        /* E:\ */
    char path[RIG_LONG];         /* below the root, with its leading '\'; empty for the device itself */
};
BOOL find_place(struct rig_state *state, const WCHAR *path, struct place *place);
DWORD fail(DWORD error); /* sets the error and returns 0 */

/* files.c */
HANDLE open_place(const struct place *place, DWORD access, DWORD share);
/* hubs.c */
BOOL is_hub(const struct rig_node *node);
HANDLE open_hub(struct rig_state *state, const WCHAR *path, DWORD access);
BOOL hub_control(HANDLE handle, DWORD code, const void *in, DWORD in_size, BOOL *ok);

/* containers.c */
HANDLE open_container_driver(struct rig_state *state, const WCHAR *path);
BOOL container_control(HANDLE handle, DWORD code, DWORD in_size, void *out, DWORD out_size, DWORD *written, BOOL *ok);

/* windows.c */
BOOL hides_wine(const char *function);

/* inject.c */
EXPORT BOOL rig_start(WCHAR *line, const WCHAR *directory, PROCESS_INFORMATION *process);
void *replacement(const char *name);
void enter_scenario(void);

#endif
