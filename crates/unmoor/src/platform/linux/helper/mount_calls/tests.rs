//! Mounts and directories that are exchanged between the check of a mount and the call on it.

use super::*;
use crate::platform::linux::helper::mount_calls::test_mounts::Place;
use rustix::mount::{MountFlags, mount};
use std::fs::{create_dir, rename};
use std::os::unix::fs::symlink;
use std::path::Path;

/// A call on a mount: unmount, forced detach, or the probe.
type Call = fn(&CStr, u64) -> Result<MountReply, Errno>;

const UNMOUNT: Call = |path, id| unmount_checked(path, id, true);
const PROBE: Call = probe;
const DETACH: Call = |path, id| detach(path, id);
const ALL: [Call; 3] = [UNMOUNT, PROBE, DETACH];

#[test]
#[ignore = "needs root"]
fn a_mount_is_probed_and_unmounted_at_its_path() {
    for call in [UNMOUNT, DETACH] {
        Place::apart(move |place| {
            let (path, id) = (place.path("user/stick"), place.id("stick"));
            assert_eq!(probe(&path, id), Err(Errno::AGAIN));
            assert_eq!(call(&path, id), Ok(MountReply::Done));
            assert_eq!(place.mounted(), ["other"]);
        });
    }
}

#[test]
#[ignore = "needs root"]
fn a_mount_in_use_is_busy_and_stays() {
    Place::apart(|place| {
        let _open = std::fs::File::create(place.at("user/stick/file")).unwrap();
        let (path, id) = (place.path("user/stick"), place.id("stick"));
        assert_eq!(unmount_checked(&path, id, true), Err(Errno::BUSY));
        assert_eq!(probe(&path, id), Err(Errno::BUSY));
        assert_eq!(place.mounted(), ["stick", "other"]);
        assert_eq!(detach(&path, id), Ok(MountReply::Done));
        assert_eq!(place.mounted(), ["other"]);
    });
}

#[test]
#[ignore = "needs root"]
fn a_parent_that_was_swapped_for_a_link_before_the_call_leads_to_no_other_mount() {
    for call in ALL {
        Place::apart(move |place| {
            let (path, id) = (place.path("user/stick"), place.id("stick"));
            place.swap_parent();
            assert!(!matches!(call(&path, id), Ok(MountReply::Done)));
            assert_eq!(place.mounted(), ["stick", "other"]);
        });
    }
}

#[test]
#[ignore = "needs root"]
fn a_parent_that_is_swapped_between_the_check_and_the_call_leads_to_no_other_mount() {
    for call in [UNMOUNT, DETACH] {
        for moment in [Moment::Checked, Moment::Marked] {
            Place::apart(move |place| {
                let (path, id) = (place.path("user/stick"), place.id("stick"));
                let here = place.at("");
                at(moment, move || {
                    let _ = rename(here.join("user"), here.join("moved"));
                    let _ = symlink(here.join("other"), here.join("user"));
                });
                // The mount that was meant is the one that goes, wherever its directory is by now.
                assert_eq!(call(&path, id), Ok(MountReply::Done));
                assert_eq!(place.mounted(), ["other"]);
            });
        }
    }
}

#[test]
#[ignore = "needs root"]
fn a_card_that_is_mounted_over_the_stick_after_the_check_is_not_unmounted() {
    for moment in [Moment::Synced, Moment::Checked, Moment::Marked] {
        Place::apart(move |place| {
            let (path, id) = (place.path("user/stick"), place.id("stick"));
            let mut over = Some(place.at("user/stick"));
            at(moment, move || {
                if let Some(path) = over.take() {
                    mount("card", path, "tmpfs", MountFlags::empty(), None).unwrap();
                }
            });
            assert_eq!(unmount_checked(&path, id, true), Ok(MountReply::OtherMount));
            assert_eq!(place.mounted(), ["stick", "other", "card"]);
        });
    }
}

#[test]
#[ignore = "needs root"]
fn a_card_that_comes_and_goes_keeps_the_stick_from_nothing() {
    Place::apart(|place| {
        let (path, id) = (place.path("user/stick"), place.id("stick"));
        let over = place.at("user/stick");
        let mut left = 3;
        at(Moment::Checked, move || {
            if left > 0 {
                left -= 1;
                mount("card", &over, "tmpfs", MountFlags::empty(), None).unwrap();
                unmount(&over, UnmountFlags::empty()).unwrap();
            }
        });
        assert_eq!(unmount_checked(&path, id, true), Ok(MountReply::Done));
        assert_eq!(place.mounted(), ["other"]);
    });
}

#[test]
#[ignore = "needs root"]
fn a_stick_that_is_looked_at_all_the_time_is_unmounted_all_the_same() {
    Place::apart(|place| {
        let (path, id) = (place.path("user/stick"), place.id("stick"));
        let look = path.clone();
        at(Moment::Marked, move || {
            assert!(mount_id::of_name(CWD, &look).is_ok());
        });
        assert_eq!(unmount_checked(&path, id, true), Ok(MountReply::Done));
        assert_eq!(place.mounted(), ["other"]);
    });
}

#[test]
#[ignore = "needs root"]
fn a_card_on_the_mount_point_of_the_stick_is_neither_probed_detached_nor_opened() {
    Place::apart(|place| {
        let (path, id) = (place.path("user/stick"), place.id("stick"));
        place.mount("user/stick", "card");
        assert_eq!(probe(&path, id), Ok(MountReply::OtherMount));
        assert_eq!(detach(&path, id), Ok(MountReply::OtherMount));
        assert_eq!(sync(&path, id), Ok(MountReply::OtherMount));
        for reading in [false, true] {
            assert_eq!(open_mount(&path, id, reading).err(), Some(Errno::STALE));
        }
        assert_eq!(place.mounted(), ["stick", "other", "card"]);
    });
}

#[test]
#[ignore = "needs root"]
fn a_link_in_the_place_of_the_mount_point_itself_is_not_followed() {
    Place::apart(|place| {
        let (path, id) = (place.path("user/stick"), place.id("stick"));
        create_dir(place.at("new")).unwrap();
        symlink(place.at("other/stick"), place.at("new/stick")).unwrap();
        rename(place.at("user"), place.at("moved")).unwrap();
        rename(place.at("new"), place.at("user")).unwrap();
        for call in ALL {
            assert!(!matches!(call(&path, id), Ok(MountReply::Done)));
        }
        for reading in [false, true] {
            assert!(open_mount(&path, id, reading).is_err());
        }
        assert_eq!(place.mounted(), ["stick", "other"]);
    });
}

#[test]
#[ignore = "needs root"]
fn a_mount_of_a_single_file_is_unmounted_too() {
    Place::apart(|place| {
        std::fs::write(place.at("file"), "").unwrap();
        std::fs::write(place.at("other/stick/data"), "").unwrap();
        let (from, to) = (place.at("other/stick/data"), place.at("file"));
        rustix::mount::mount_bind(from, &to).unwrap();
        let id = place.lines().iter().find(|line| line.path == to).unwrap().id;
        let path = place.path("file");
        assert_eq!(sync(&path, id), Ok(MountReply::Done));
        assert_eq!(unmount_checked(&path, id, true), Ok(MountReply::Done));
        assert_eq!(place.mounted(), ["stick", "other"]);
    });
}

#[test]
#[ignore = "needs root"]
fn the_helper_leaves_the_directory_of_the_mount_point() {
    Place::apart(|place| {
        let (path, id) = (place.path("user/stick"), place.id("stick"));
        let _ = unmount_checked(&path, id, true);
        assert_eq!(std::env::current_dir().unwrap(), Path::new("/"));
    });
}
