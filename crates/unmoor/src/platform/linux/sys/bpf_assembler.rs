//! Assembler for BPF programs: named registers, labels, and a listing for the tests.
//!
//! The crates that load compiled programs (aya, libbpf-rs) need clang or bpf-linker wherever this is built, or an
//! object file in the repository, which cannot be read. The programs here have a hundred instructions.

use crate::platform::linux::sys::bpf::Instruction;
use rustix::io::Errno;
use std::fmt;

/// Register (Documentation/bpf/standardization/instruction-set.rst).
///
/// A call takes its arguments in R1 to R5, leaves its result in R0, and keeps R6 to R9 alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Register {
    R0,
    R1,
    R2,
    R3,
    R4,
    R6 = 6,
    R7,
    R8,
    R9,
    /// End of the stack, which lies below it.
    R10,
}

/// Size of a load or store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// 16 bits.
    Bits16 = 0x08,
    /// 32 bits.
    Bits32 = 0x00,
    /// 64 bits.
    Bits64 = 0x18,
}

/// Condition of a jump: a register compared with a number. All but `SignedLess` compare without signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// All 64 bits are equal.
    Equal = 0x15,
    NotEqual = 0x55,
    /// The number has a bit in common with the register.
    AnyBit = 0x45,
    SignedLess = 0xc5,
    /// The low 32 bits are equal.
    WordEqual = 0x16,
}

/// Function of the kernel that programs may call by a fixed number (linux/bpf.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Helper {
    ProbeReadKernel = 113,
    SeqWrite = 127,
}

/// Place in a program that a jump leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Label(usize);

/// Program that is being written.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    code: Vec<Instruction>,
    /// Place of each label.
    labels: Vec<Option<usize>>,
    /// Jumps whose offset is filled in at the end.
    jumps: Vec<(usize, Label)>,
}

const LOAD: u8 = 0x61;
const STORE: u8 = 0x63;
const STORE_NUMBER: u8 = 0x62;
const SET: u8 = 0xb7;
const COPY: u8 = 0xbf;
const ADD_NUMBER: u8 = 0x07;
const ADD: u8 = 0x0f;
const AND_NUMBER: u8 = 0x57;
const SHIFT_LEFT: u8 = 0x67;
const LOAD_NUMBER: u8 = 0x18;
const JUMP: u8 = 0x05;
const EQUAL_REGISTERS: u8 = 0x1d;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
/// `BPF_PSEUDO_KFUNC_CALL`: the number of the called function is a type number.
const BY_TYPE: u8 = 2;

impl Assembler {
    /// Creates a label, to be placed later.
    pub(crate) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Places the label before the next instruction.
    pub(crate) fn place(&mut self, label: Label) {
        self.labels[label.0] = Some(self.code.len());
    }

    /// `to = *(from + offset)`
    pub(crate) fn load(&mut self, size: Size, to: Register, from: Register, offset: i16) {
        self.push(LOAD | size as u8, to, from, offset, 0);
    }

    /// `*(to + offset) = from`
    pub(crate) fn store(&mut self, size: Size, to: Register, offset: i16, from: Register) {
        self.push(STORE | size as u8, to, from, offset, 0);
    }

    /// `to = number`
    pub(crate) fn set(&mut self, to: Register, number: i32) {
        self.push(SET, to, Register::R0, 0, number);
    }

    /// `to = number`, of 64 bits.
    pub(crate) fn set_long(&mut self, to: Register, number: u64) {
        self.push(LOAD_NUMBER, to, Register::R0, 0, number as i32);
        self.push(0, Register::R0, Register::R0, 0, (number >> 32) as i32);
    }

    /// `to = from`
    pub(crate) fn copy(&mut self, to: Register, from: Register) {
        self.push(COPY, to, from, 0, 0);
    }

    /// `to += from`
    pub(crate) fn add(&mut self, to: Register, from: Register) {
        self.push(ADD, to, from, 0, 0);
    }

    /// `to += number`
    pub(crate) fn add_number(&mut self, to: Register, number: i32) {
        self.push(ADD_NUMBER, to, Register::R0, 0, number);
    }

    /// `to &= number`
    pub(crate) fn and_number(&mut self, to: Register, number: i32) {
        self.push(AND_NUMBER, to, Register::R0, 0, number);
    }

    /// `to <<= number`
    pub(crate) fn shift_left(&mut self, to: Register, number: i32) {
        self.push(SHIFT_LEFT, to, Register::R0, 0, number);
    }

    /// Goes on at the label.
    pub(crate) fn jump(&mut self, label: Label) {
        self.jumps.push((self.code.len(), label));
        self.push(JUMP, Register::R0, Register::R0, 0, 0);
    }

    /// Goes on at the label if the condition holds.
    pub(crate) fn jump_if(
        &mut self,
        register: Register,
        condition: Condition,
        number: i32,
        label: Label,
    ) {
        self.jumps.push((self.code.len(), label));
        self.push(condition as u8, register, Register::R0, 0, number);
    }

    /// Goes on at the label if both registers are equal.
    pub(crate) fn jump_if_same(&mut self, one: Register, other: Register, label: Label) {
        self.jumps.push((self.code.len(), label));
        self.push(EQUAL_REGISTERS, one, other, 0, 0);
    }

    /// Calls a function by its fixed number.
    pub(crate) fn call(&mut self, helper: Helper) {
        self.push(CALL, Register::R0, Register::R0, 0, helper as i32);
    }

    /// Calls a function of the kernel by its type number (Documentation/bpf/kfuncs.rst).
    pub(crate) fn call_by_type(&mut self, function: u32) {
        let registers = BY_TYPE << 4;
        self.code.push(Instruction {
            code: CALL,
            registers,
            offset: 0,
            immediate: function as i32,
        });
    }

    /// Ends the program with this result.
    pub(crate) fn exit(&mut self, result: i32) {
        self.set(Register::R0, result);
        self.push(EXIT, Register::R0, Register::R0, 0, 0);
    }

    /// Returns the program with its jumps filled in.
    ///
    /// # Errors
    /// ERANGE for a jump that is too far; EINVAL for a label without a place.
    pub(crate) fn finish(mut self) -> Result<Vec<Instruction>, Errno> {
        for (at, label) in self.jumps {
            let to = self.labels[label.0].ok_or(Errno::INVAL)?;
            let offset = to as i64 - at as i64 - 1;
            self.code[at].offset = i16::try_from(offset).map_err(|_| Errno::RANGE)?;
        }
        Ok(self.code)
    }

    fn push(&mut self, code: u8, to: Register, from: Register, offset: i16, immediate: i32) {
        let registers = (from as u8) << 4 | to as u8;
        self.code.push(Instruction { code, registers, offset, immediate });
    }
}

/// Writes the instruction as the kernel's verifier does, more or less.
impl fmt::Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (to, from) = (self.registers & 15, self.registers >> 4);
        let Instruction { offset, immediate, .. } = *self;
        let size = |code| match code & 0x18 {
            0x08 => "u16",
            0x18 => "u64",
            _ => "u32",
        };
        match self.code {
            code if code & !0x18 == LOAD => {
                write!(f, "r{to} = *({} *)(r{from} {offset:+})", size(code))
            }
            code if code & !0x18 == STORE => {
                write!(f, "*({} *)(r{to} {offset:+}) = r{from}", size(code))
            }
            code if code & !0x18 == STORE_NUMBER => {
                write!(f, "*({} *)(r{to} {offset:+}) = {immediate}", size(code))
            }
            SET => write!(f, "r{to} = {immediate}"),
            COPY => write!(f, "r{to} = r{from}"),
            ADD => write!(f, "r{to} += r{from}"),
            ADD_NUMBER => write!(f, "r{to} += {immediate}"),
            AND_NUMBER => write!(f, "r{to} &= {immediate:#x}"),
            SHIFT_LEFT => write!(f, "r{to} <<= {immediate}"),
            LOAD_NUMBER => write!(f, "r{to} = {immediate:#x} (low half)"),
            0 => write!(f, "     {immediate:#x} (high half)"),
            JUMP => write!(f, "goto {offset:+}"),
            0x15 => write!(f, "if r{to} == {immediate} goto {offset:+}"),
            0x16 => write!(f, "if w{to} == {immediate:#x} goto {offset:+}"),
            0x55 => write!(f, "if r{to} != {immediate} goto {offset:+}"),
            0x45 => write!(f, "if r{to} & {immediate:#x} goto {offset:+}"),
            0xc5 => write!(f, "if r{to} s< {immediate} goto {offset:+}"),
            EQUAL_REGISTERS => write!(f, "if r{to} == r{from} goto {offset:+}"),
            CALL if from == BY_TYPE => write!(f, "call kernel function {immediate}"),
            CALL => write!(f, "call {immediate}"),
            EXIT => write!(f, "exit"),
            code => write!(f, "{code:#04x}"),
        }
    }
}

/// Returns the listing of a program, one instruction a line.
#[cfg(test)]
pub(crate) fn listing(program: &[Instruction]) -> String {
    let lines = program.iter().enumerate().map(|(at, one)| format!("{at:3}: {one}\n"));
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_lead_to_their_labels_in_both_directions() {
        let mut code = Assembler::default();
        let (again, end) = (code.label(), code.label());
        code.set(Register::R6, 3);
        code.place(again);
        code.jump_if(Register::R6, Condition::Equal, 0, end);
        code.add_number(Register::R6, -1);
        code.jump(again);
        code.place(end);
        code.exit(0);
        let expected = "  0: r6 = 3\n  1: if r6 == 0 goto +2\n  2: r6 += -1\n  3: goto -3\n  \
                        4: r0 = 0\n  5: exit\n";
        assert_eq!(listing(&code.finish().unwrap()), expected);
    }

    #[test]
    fn a_label_without_a_place_is_an_error() {
        let mut code = Assembler::default();
        let nowhere = code.label();
        code.jump(nowhere);
        assert_eq!(code.finish().unwrap_err(), Errno::INVAL);
    }
}
