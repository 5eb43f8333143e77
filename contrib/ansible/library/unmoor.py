#!/usr/bin/python
"""Ansible module over the JSON contract of unmoor (docs/json.md)."""

import json

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: unmoor
short_description: Release removable drives safely
description:
  - Flushes, dismounts and ejects drives, and verifies that it happened. Needs the program C(unmoor) on the host.
  - A drive that is gone, empty or dismounted already is left alone, so that a second run changes nothing.
options:
  targets:
    description: Drives, mount points or labels, as C(unmoor) takes them.
    type: list
    elements: str
    required: true
  state:
    description:
      - What the drives shall be. A drive that is not there is C(ejected) and C(powered_off), but not C(loaded).
    choices: [ejected, dismounted, powered_off, loaded]
    default: ejected
    type: str
  wait:
    description: Time to wait while a drive is in use, for example C(30s).
    type: str
  timeout:
    description: Time for the whole call.
    type: str
  kill:
    description: End the programs that use a drive.
    type: bool
    default: false
  force:
    description: Dismount drives that are in use; open files fail from then on.
    type: bool
    default: false
  executable:
    description: Path of the program.
    type: str
    default: unmoor
attributes:
  check_mode:
    support: full
"""

EXAMPLES = r"""
- name: Release the backup disk, and wait for what uses it
  unmoor:
    targets: [LABEL=BACKUP]
    state: powered_off
    wait: 2m
"""

RETURN = r"""
results:
  description: One entry for each drive that was released, as in the document of C(unmoor --json).
  type: list
  returned: always
"""

NO_SUCH_TARGET = "no-such-target"
OPTIONS = {"ejected": [], "dismounted": ["--dismount-only"], "powered_off": ["--power-off"]}


def call(module, arguments):
    """Runs the program and returns its document."""
    command = [module.params["executable"]] + arguments
    code, out, err = module.run_command(command)
    try:
        document = json.loads(out)
    except ValueError:
        module.fail_json(msg="unmoor printed no document: " + (err.strip() or out), rc=code)
    if document.get("schema") != 1:
        module.fail_json(msg="unmoor prints documents of another schema", rc=code)
    return document


def needs_change(target, state):
    """Returns true if the drive is not in this state yet."""
    drive = target["drive"]
    if drive is None:
        # A drive that is gone is released. Any other error is for the operation to report.
        return target["outcome"] != NO_SUCH_TARGET or state == "loaded"
    if state == "dismounted":
        return any(volume["mounts"] for volume in drive["volumes"])
    if state == "loaded":
        return drive["medium"] == "tray-open"
    return state == "powered_off" or drive["medium"] not in ("absent", "tray-open")


def main():
    module = AnsibleModule(
        argument_spec={
            "targets": {"type": "list", "elements": "str", "required": True},
            "state": {"default": "ejected", "choices": list(OPTIONS) + ["loaded"]},
            "wait": {"type": "str"},
            "timeout": {"type": "str"},
            "kill": {"type": "bool", "default": False},
            "force": {"type": "bool", "default": False},
            "executable": {"type": "str", "default": "unmoor"},
        },
        supports_check_mode=True,
    )
    state = module.params["state"]
    now = call(module, ["status", "--json", "--"] + module.params["targets"])
    wanted = [one["target"] for one in now["targets"] if needs_change(one, state)]
    if not wanted:
        module.exit_json(changed=False, results=[])
    if state == "loaded":
        if module.check_mode:
            module.exit_json(changed=True, results=[])
        arguments = ["load"]
    else:
        arguments = ["eject"] + OPTIONS[state]
        if module.params["kill"]:
            arguments += ["--kill", "--yes"]
        if module.params["force"]:
            arguments.append("--force")
        if module.params["wait"]:
            arguments += ["--wait", module.params["wait"]]
        if module.check_mode:
            arguments.append("--dry-run")
    if module.params["timeout"]:
        arguments += ["--timeout", module.params["timeout"]]
    document = call(module, arguments + ["--json", "--"] + wanted)
    results = document["targets"]
    changed = any(one["outcome"] in ("released", "done", "planned") for one in results)
    failed = [one for one in results if one["exit_code"] != 0]
    if failed:
        lines = [line for one in failed for line in (one["message"], one["help"]) if line]
        module.fail_json(msg="\n".join(lines), rc=document["exit_code"], changed=changed, results=results)
    module.exit_json(changed=changed, results=results)


if __name__ == "__main__":
    main()
