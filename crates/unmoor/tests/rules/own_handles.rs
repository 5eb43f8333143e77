//! Windows: a device stays on its bus while any program has one of its drives open, this one included.

use crate::scenario::cases;
use proptest::prelude::*;
use unmoor::{
    BatchItem, DriveId, ErrorKind, Goal, Opened, Operation, Options, Outcome, Report, Target,
    run_batch,
};
use unmoor_simulated::{DriveSetup, Effect, Semantics, Simulated, VolumeSetup};

/// A card reader with so many slots; those in `mounted` have a file system mounted.
fn reader(semantics: Semantics, slots: usize, mounted: &[usize]) -> (Simulated, Vec<DriveId>) {
    let machine = Simulated::new(semantics);
    let name = |slot: usize| format!("slot{slot}");
    let ids = (0..slots).map(|slot| {
        let others: Vec<String> =
            (0..slots).filter(|o| *o != slot).map(|o| format!("sim:{}", name(o))).collect();
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        let volume = VolumeSetup::partition("vfat");
        let volume = match mounted.contains(&slot) {
            true => volume.mounted(format!("/{slot}")).dirty("/f", 1000),
            false => volume,
        };
        machine.plug(&DriveSetup::stick(&name(slot)).siblings(&others).volume(volume))
    });
    let ids = ids.collect();
    (machine, ids)
}

fn power_off(machine: &Simulated, slots: &[usize]) -> Vec<Report> {
    let targets: Vec<Target> =
        slots.iter().map(|slot| Target::Simulated(format!("slot{slot}"))).collect();
    let jobs: Vec<BatchItem<'_>> =
        targets.iter().map(|target| BatchItem::new(machine, target)).collect();
    let options = options!(goal: Goal::PowerOff);
    run_batch(Operation::Release, &jobs, &options, &mut |_, _| {})
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn the_slots_of_a_reader_are_powered_off_together_whichever_are_named(
        semantics in prop::sample::select(vec![Semantics::Linux, Semantics::Windows]),
        slots in 1..5usize,
        order in Just(vec![0usize, 1, 2, 3]).prop_shuffle(),
        named in 1..5usize,
    ) {
        let named: Vec<usize> =
            order.into_iter().filter(|slot| *slot < slots).take(named).collect();
        let (machine, ids) = reader(semantics, slots, &named);
        let reports = power_off(&machine, &named);
        prop_assert!(reports.iter().all(|r| r.outcome == Outcome::Completed), "{reports:#?}");
        prop_assert!(ids.iter().all(|id| !machine.is_attached(*id)));
        prop_assert_eq!(machine.locks_held(), 0);
        for id in ids {
            prop_assert_eq!(machine.medium_contents(id), machine.written(id));
        }
    }
}

#[test]
fn our_own_handle_on_another_slot_vetoes_the_removal() {
    let (machine, ids) = reader(Semantics::Windows, 2, &[0, 1]);
    let other = Opened::new(&machine, &"sim:slot1".parse().unwrap(), &Options::default()).unwrap();
    let locked = other.lock().unwrap();
    let options = options!(goal: Goal::PowerOff);
    let open = Opened::new(&machine, &"sim:slot0".parse().unwrap(), &options).unwrap();
    let halted = open.lock().unwrap().dismount().unwrap().power_off().err().unwrap();
    assert_eq!(halted.error.kind(), ErrorKind::Vetoed);
    assert!(ids.iter().all(|id| machine.is_attached(*id)));
    // The lock's guard keeps its handle even when the lock is gone.
    let other = locked.unlock().unwrap();
    let open = Opened::new(&machine, &"sim:slot0".parse().unwrap(), &options).unwrap();
    let halted = open.lock().unwrap().dismount().unwrap().power_off().err().unwrap();
    assert_eq!(halted.error.kind(), ErrorKind::Vetoed);
    drop((other, halted));
    let open = Opened::new(&machine, &"sim:slot0".parse().unwrap(), &options).unwrap();
    assert!(open.lock().unwrap().dismount().unwrap().power_off().is_ok());
    let off =
        |e: &unmoor_simulated::JournalEntry| matches!(e.effect, Some(Effect::PoweredOff { .. }));
    assert_eq!(machine.journal().iter().filter(|e| off(e)).count(), 1);
    assert_eq!(machine.locks_held(), 0);
}
