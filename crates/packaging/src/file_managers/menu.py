"""Chooses an entry in the context menu of a folder, as a hand and an eye would: menu.py PROGRAM FOLDER [--keyboard] [--key KEY] LABEL..."""

import argparse
import os
import subprocess
import sys
import time

import pyatspi

parser = argparse.ArgumentParser()
parser.add_argument("program")
parser.add_argument("folder", help="the only entry of the window; a mount point, until the action has worked")
parser.add_argument("--keyboard", action="store_true", help="open the menu by keys, since the folder's place is not told")
parser.add_argument("--key", help="choose the entry by this key, since the menu's entries are not told")
parser.add_argument("labels", nargs="+", help="the entry, and the menus that lead to it")
wanted = parser.parse_args()
name = os.path.basename(wanted.folder)


def x(*words):
    return subprocess.run(["xdotool", *words], capture_output=True, text=True).stdout


def parts(node):
    """Returns everything that accessibility tells of a program's windows."""
    try:
        yield node
        for child in node:
            if child is not None:
                yield from parts(child)
    except Exception:  # It went away meanwhile.
        pass


def find(label, roles):
    for program in pyatspi.Registry.getDesktop(0):
        if program is not None and wanted.program in (program.name or "").lower():
            for part in parts(program):
                if part.name == label and part.getRoleName() in roles:
                    return part
    return None


def within(seconds, condition):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.2)
    return None


def open_menu():
    windows = x("search", "--onlyvisible", "--name", os.path.basename(os.path.dirname(wanted.folder))).split()
    if not windows:
        return False
    x("windowfocus", "--sync", windows[-1])
    if wanted.keyboard:
        x("key", "ctrl+a", "Menu")
        return True
    folder = find(name, ["table cell"])
    if folder is None:
        return False
    place = folder.queryComponent().getExtents(pyatspi.DESKTOP_COORDS)
    # The name is in the lower part; a bar above it may have moved it since.
    x("mousemove", str(place.x + place.width // 2), str(place.y + place.height * 6 // 7), "click", "3")
    return True


def choose():
    if wanted.key:
        time.sleep(1)
        x("key", wanted.key)
        return True
    for label in wanted.labels:
        entry = within(5, lambda: find(label, ["menu", "menu item"]))
        if entry is None:
            return False
        entry.queryAction().doAction(0)
    return True


def released():
    return not os.path.ismount(wanted.folder)


for attempt in range(8):
    if open_menu() and choose() and within(15, released):
        sys.exit()
    x("key", "Escape")
    time.sleep(1)
sys.exit(f"{wanted.program}: {wanted.folder} was not released")
