//! Functions and types of the kernel that the programs use.

use crate::platform::linux::sys::btf::WantedTypes;

/// Iterator over all threads.
pub(crate) const TASKS: &str = "bpf_iter_task";
/// Iterator over the open files of all processes.
pub(crate) const FILES: &str = "bpf_iter_task_file";
/// Iterator over the mappings of all processes.
pub(crate) const MAPPINGS: &str = "bpf_iter_task_vma";

pub(crate) const NUMBERS_NEW: &str = "bpf_iter_num_new";
pub(crate) const NUMBERS_NEXT: &str = "bpf_iter_num_next";
pub(crate) const NUMBERS_DESTROY: &str = "bpf_iter_num_destroy";
pub(crate) const CAST: &str = "bpf_rdonly_cast";
pub(crate) const MAPPINGS_NEW: &str = "bpf_iter_task_vma_new";
pub(crate) const MAPPINGS_NEXT: &str = "bpf_iter_task_vma_next";
pub(crate) const MAPPINGS_DESTROY: &str = "bpf_iter_task_vma_destroy";

/// Types of the kernel that the programs use.
pub(crate) const WANTED: WantedTypes<'_> = WantedTypes {
    functions: &[
        TASKS,
        FILES,
        MAPPINGS,
        NUMBERS_NEW,
        NUMBERS_NEXT,
        NUMBERS_DESTROY,
        CAST,
        MAPPINGS_NEW,
        MAPPINGS_NEXT,
        MAPPINGS_DESTROY,
    ],
    members: &[
        ("task_struct", "flags"),
        ("task_struct", "exit_state"),
        ("task_struct", "pid"),
        ("task_struct", "tgid"),
        ("task_struct", "group_leader"),
        ("task_struct", "fs"),
        ("task_struct", "files"),
        ("task_struct", "mm"),
        ("task_struct", "nsproxy"),
        ("mm_struct", "exe_file"),
        ("vm_area_struct", "vm_file"),
        ("fs_struct", "pwd"),
        ("fs_struct", "root"),
        ("files_struct", "fdt"),
        ("fdtable", "max_fds"),
        ("fdtable", "fd"),
        ("nsproxy", "mnt_ns"),
        ("mnt_namespace", "ns"),
        ("ns_common", "inum"),
        ("file", "f_inode"),
        ("file", "f_path"),
        ("path", "dentry"),
        ("dentry", "d_sb"),
        ("dentry", "d_name"),
        ("qstr", "name"),
        ("inode", "i_sb"),
        ("inode", "i_rdev"),
        ("inode", "i_mode"),
        ("inode", "i_sb_list"),
        ("inode", "i_mapping"),
        ("address_space", "i_mmap"),
        ("list_head", "next"),
        ("block_device", "bd_disk"),
        ("gendisk", "part0"),
        ("block_device", "bd_openers"),
        ("super_block", "s_dev"),
        ("super_block", "s_list"),
        ("super_block", "s_inodes"),
        ("super_block", "s_magic"),
        ("super_block", "s_bdev"),
        ("super_block", "s_active"),
        ("super_block", "s_writers"),
        ("sb_writers", "frozen"),
    ],
};
