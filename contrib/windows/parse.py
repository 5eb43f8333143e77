#!/usr/bin/env python3
"""Parses PowerShell scripts, and prints what is no PowerShell."""

import sys

import tree_sitter_powershell
from tree_sitter import Language, Parser


def faults(node):
    """Yields the nodes that the parser could not read."""
    if node.type == "ERROR" or node.is_missing:
        yield node
    for child in node.children:
        yield from faults(child)


def main():
    parser = Parser(Language(tree_sitter_powershell.language()))
    found = False
    for name in sys.argv[1:]:
        with open(name, "rb") as script:
            tree = parser.parse(script.read())
        for node in faults(tree.root_node):
            found = True
            line, column = node.start_point
            print(f"{name}:{line + 1}:{column + 1}: {node.text.decode()[:60]!r}")
    sys.exit(found)


main()
