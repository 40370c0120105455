//! Instructions of the classic packet filter, with targets to jump to instead of distances.

/// One instruction: `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(super) code: u16,
    pub(super) jt: u8,
    pub(super) jf: u8,
    pub(super) k: u32,
}

impl Instruction {
    /// How many bytes it has.
    pub(super) const SIZE: usize = 8;

    /// As the kernel takes it.
    pub(super) fn bytes(self) -> [u8; Self::SIZE] {
        let (code, k) = (self.code.to_ne_bytes(), self.k.to_ne_bytes());
        [code[0], code[1], self.jt, self.jf, k[0], k[1], k[2], k[3]]
    }

    /// As the kernel gives it back.
    pub(super) fn read(bytes: [u8; Self::SIZE]) -> Self {
        let [c0, c1, jt, jf, k0, k1, k2, k3] = bytes;
        Self { code: u16::from_ne_bytes([c0, c1]), jt, jf, k: u32::from_ne_bytes([k0, k1, k2, k3]) }
    }
}

// linux/bpf_common.h: classes, sizes, modes, operations.
pub(super) const LD_NUMBER: u16 = 0x00;
pub(super) const LD_WORD: u16 = 0x20;
pub(super) const LD_HALF: u16 = 0x28;
pub(super) const LD_BYTE: u16 = 0x30;
pub(super) const LD_HALF_AT_INDEX: u16 = 0x48;
pub(super) const LD_BYTE_AT_INDEX: u16 = 0x50;
pub(super) const LD_MEMORY: u16 = 0x60;
pub(super) const LDX_MEMORY: u16 = 0x61;
pub(super) const STORE: u16 = 0x02;
pub(super) const ADD: u16 = 0x04;
pub(super) const ADD_INDEX: u16 = 0x0C;
pub(super) const AND: u16 = 0x54;
pub(super) const SHIFT_LEFT: u16 = 0x64;
pub(super) const JUMP: u16 = 0x05;
pub(super) const IF_EQUAL: u16 = 0x15;
pub(super) const IF_GREATER: u16 = 0x25;
pub(super) const IF_AT_LEAST: u16 = 0x35;
pub(super) const ANSWER: u16 = 0x06;

// linux/filter.h: places that are no bytes of the packet, and the beginning of the network header.
pub(super) const ETHERTYPE: u32 = 0xFFFF_F000;
pub(super) const VLAN_PRESENT: u32 = 0xFFFF_F030;
pub(super) const NETWORK: u32 = 0xFFF0_0000;

/// A place in the program that jumps lead to, always forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target(usize);

/// A program being written.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    program: Vec<Instruction>,
    places: Vec<usize>,
    jumps: Vec<(usize, Target)>,
}

impl Assembler {
    /// A place to be decided on.
    pub(super) fn target(&mut self) -> Target {
        self.places.push(0);
        Target(self.places.len() - 1)
    }

    /// It is here.
    pub(super) fn place(&mut self, target: Target) {
        self.places[target.0] = self.program.len();
    }

    /// The program with every distance filled in.
    pub(super) fn finish(mut self) -> Vec<Instruction> {
        for (from, target) in self.jumps {
            let distance = self.places[target.0].saturating_sub(from + 1);
            self.program[from].k = u32::try_from(distance).unwrap_or(u32::MAX);
        }
        self.program
    }

    fn push(&mut self, code: u16, k: u32) {
        self.branch(code, k, 0, 0);
    }

    fn branch(&mut self, code: u16, k: u32, jt: u8, jf: u8) {
        self.program.push(Instruction { code, jt, jf, k });
    }

    pub(super) fn load_ethertype(&mut self) {
        self.push(LD_HALF, ETHERTYPE);
    }

    pub(super) fn load_vlan_present(&mut self) {
        self.push(LD_BYTE, VLAN_PRESENT);
    }

    pub(super) fn load_number(&mut self, number: u32) {
        self.push(LD_NUMBER, number);
    }

    /// So many bytes behind the beginning of the network header, as the next two.
    pub(super) fn load_byte(&mut self, at: u32) {
        self.push(LD_BYTE, NETWORK + at);
    }

    pub(super) fn load_half(&mut self, at: u32) {
        self.push(LD_HALF, NETWORK + at);
    }

    pub(super) fn load_word(&mut self, at: u32) {
        self.push(LD_WORD, NETWORK + at);
    }

    /// So many bytes behind where the index points, as the next.
    pub(super) fn load_byte_at_index(&mut self, at: u32) {
        self.push(LD_BYTE_AT_INDEX, NETWORK + at);
    }

    pub(super) fn load_half_at_index(&mut self, at: u32) {
        self.push(LD_HALF_AT_INDEX, NETWORK + at);
    }

    pub(super) fn load(&mut self, memory: u32) {
        self.push(LD_MEMORY, memory);
    }

    pub(super) fn load_index(&mut self, memory: u32) {
        self.push(LDX_MEMORY, memory);
    }

    pub(super) fn store(&mut self, memory: u32) {
        self.push(STORE, memory);
    }

    pub(super) fn add(&mut self, number: u32) {
        self.push(ADD, number);
    }

    pub(super) fn add_index(&mut self) {
        self.push(ADD_INDEX, 0);
    }

    pub(super) fn and(&mut self, mask: u32) {
        self.push(AND, mask);
    }

    pub(super) fn shift_left(&mut self, bits: u32) {
        self.push(SHIFT_LEFT, bits);
    }

    pub(super) fn answer(&mut self, number: u32) {
        self.push(ANSWER, number);
    }

    /// Conditions reach no further than 255 instructions, so that each only decides whether the jump behind it is passed.
    pub(super) fn jump(&mut self, target: Target) {
        self.jumps.push((self.program.len(), target));
        self.push(JUMP, 0);
    }

    pub(super) fn if_equal(&mut self, number: u32, target: Target) {
        self.branch(IF_EQUAL, number, 0, 1);
        self.jump(target);
    }

    pub(super) fn unless_equal(&mut self, number: u32, target: Target) {
        self.branch(IF_EQUAL, number, 1, 0);
        self.jump(target);
    }

    pub(super) fn if_between(&mut self, from: u32, to: u32, target: Target) {
        self.branch(IF_AT_LEAST, from, 0, 2);
        self.branch(IF_GREATER, to, 1, 0);
        self.jump(target);
    }
}
