//! Phrases that the prose rule bans, with what to write instead.

/// Words that a doc comment's first sentence must not begin with.
pub const FIRST_WORDS: &[(&str, &str)] = &[
    ("Is", "Returns true if …"),
    ("Are", "Returns true if …"),
    ("Does", "Returns true if …"),
    ("Did", "Returns true if …"),
    ("Has", "Returns true if …; of a field: True if …"),
    ("Have", "Returns true if …"),
    ("May", "Returns true if …"),
    ("Can", "Returns true if …"),
    ("Who", "name the process, user or caller"),
    ("Whom", "name the process, user or caller"),
    ("Whoever", "name the process, user or caller"),
    ("Whose", "name the owner"),
    ("What", "name the thing"),
    ("Whatever", "name the thing"),
    ("It", "begin with the verb: Returns …, Waits …"),
    ("Nobody", "name the process, user or caller"),
    ("Which", "name the thing"),
    ("How", "Number of …, Time …, Interval between …"),
    ("Whether", "Returns true if …; of a field: True if …"),
    ("One that", "name the thing"),
];

/// A banned phrase.
pub struct Phrase {
    /// In lower case, with single spaces.
    pub text: &'static str,
    pub instead: &'static str,
}

const fn phrase(text: &'static str, instead: &'static str) -> Phrase {
    Phrase { text, instead }
}

/// Phrases that must not stand in doc comments, documents and string literals.
pub const PHRASES: &[Phrase] = &[
    phrase("it is looked", "say what scans, polls or checks"),
    phrase("is looked whether", "is checked"),
    phrase("is looked for", "is searched"),
    phrase("is looked at", "is examined, is read"),
    phrase("look whether", "check whether"),
    phrase("looks whether", "checks whether, verifies that"),
    phrase("is told", "say who sends, reports or emits what"),
    phrase("are told", "say who sends, reports or emits what"),
    phrase("was told", "say who sent, reported or emitted what"),
    phrase("were told", "say who sent, reported or emitted what"),
    phrase("is waited for", "say what waits"),
    phrase("are waited for", "say what waits"),
    phrase("was waited for", "say what waited"),
    phrase("it is waited", "say what waits"),
    phrase("is asked for", "say what requests it"),
    phrase("at your wish", "interrupted; skipped, with the option's name"),
    phrase("the wish to", "the option, the request"),
    phrase("is wished", "is requested"),
    phrase("was wished", "was requested"),
    phrase("as wished", "as requested"),
    phrase("if wished", "if requested"),
    phrase("in the way", "blocking"),
    phrase("let go", "eject, release, unlock"),
    phrase("lets go", "ejects, releases, unlocks"),
    phrase("letting go", "ejecting, releasing, unlocking"),
    phrase("take away", "unmount, remove"),
    phrase("takes away", "unmounts, removes"),
    phrase("taken away", "unmounted, removed"),
    phrase("took away", "unmounted, removed"),
    phrase("take it away", "unmount it, remove it"),
    phrase("takes it away", "unmounts it, removes it"),
    phrase("whoever", "name the process, user or caller"),
    phrase("somebody", "name the process, user or caller"),
    phrase("nobody", "no process, no user, no program"),
    phrase("is called so", "has this name"),
    phrase("says the system", "the kernel reports"),
    phrase("to move it:", "fix:"),
    phrase("things of ours", "name the processes, mounts, handles"),
];
