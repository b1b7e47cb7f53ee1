//! A child process under `ptrace`: stepped one instruction or one system call at a time, and killed at a chosen
//! point.

#![allow(unsafe_code, reason = "breakpoints")]

use anyhow::{Result, bail};
use nix::libc::{REG_RIP, c_void, siginfo_t, ucontext_t, user_regs_struct};
use nix::sys::ptrace;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::child;

/// A stopped child.
#[derive(Debug)]
pub(crate) struct Tracee {
    pid: Pid,
    over: bool,
}

/// What a stopped child does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It stops at [`mark`].
    Mark,
    /// It calls the system.
    Syscall,
    Other,
}

/// A child under SIGSTOP, no longer traced.
#[derive(Debug)]
pub(crate) struct Stopped {
    pid: Pid,
    over: bool,
}

impl Stopped {
    /// SIGCONT.
    pub(crate) fn go_on(&self) -> Result<()> {
        Ok(nix::sys::signal::kill(self.pid, Signal::SIGCONT)?)
    }

    /// Waits for its end; an error unless it ends well.
    pub(crate) fn finish(mut self) -> Result<()> {
        match waitpid(self.pid, None)? {
            WaitStatus::Exited(_, 0) => {
                self.over = true;
                Ok(())
            }
            other => {
                self.over = matches!(other, WaitStatus::Exited(..) | WaitStatus::Signaled(..));
                bail!("after SIGCONT it was to end well: {other:?}")
            }
        }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        if !self.over {
            let _ = nix::sys::signal::kill(self.pid, Signal::SIGKILL);
            let _ = waitpid(self.pid, None);
        }
    }
}

/// Why the child stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// One instruction further.
    Stepped,
    /// At [`mark`].
    Mark,
    /// At the entry or the exit of a system call: they alternate.
    Syscall,
    /// About to get this signal.
    Signal(Signal),
    Exited(i32),
    Killed(Signal),
}

/// Stops the calling child for its tracer; does nothing in a child that was let go. A barrier to the compiler: what
/// stands before it in the source has been done when the child stops.
#[inline(always)]
pub(crate) fn mark() {
    // SAFETY: a breakpoint changes no state but the instruction pointer.
    unsafe { core::arch::asm!("int3", options(nostack, preserves_flags)) };
}

/// What a breakpoint does to a child that nobody traces any more: nothing, if it is a [`mark`]. If it is one that was planted
/// there and taken away again before the child was let go, its processor had still the old text: the instruction
/// is executed again. (Seen once in a hundred thousand: the child went on in the middle of it.)
extern "C" fn pass(_signal: i32, _info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel hands a handler of three arguments its own context, which it may change.
    let context = unsafe { &mut *context.cast::<ucontext_t>() };
    let next = &mut context.uc_mcontext.gregs[REG_RIP as usize];
    let at = *next - 1;
    // SAFETY: the byte before the next instruction was executed just now, so it can be read.
    if unsafe { core::ptr::with_exposed_provenance::<u8>(at as usize).read_volatile() } != BREAKPOINT {
        *next = at;
    }
}

/// The instruction `int3`.
const BREAKPOINT: u8 = 0xcc;

/// Seconds after which a child that hangs gets SIGALRM.
const LIFETIME: u32 = 120;

impl Tracee {
    /// Forks a child that runs `body` and exits. Returns at its first [`mark`]. This process must have one
    /// thread; its rings' descriptors are closed in the child by the library.
    pub(crate) fn start(body: impl FnOnce()) -> Result<Self> {
        let pid = child::fork(|| {
            let traced = ptrace::traceme();
            let handler = SigHandler::SigAction(pass);
            let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
            // SAFETY: the handler touches nothing but its own context.
            let _ = unsafe { sigaction(Signal::SIGTRAP, &action) };
            nix::unistd::alarm::set(LIFETIME);
            if traced.is_err() {
                return 2;
            }
            body();
            0
        })?;
        let mut tracee = Self { pid, over: false };
        match tracee.wait()? {
            Stop::Mark => {
                let options = ptrace::Options::PTRACE_O_TRACESYSGOOD | ptrace::Options::PTRACE_O_EXITKILL;
                ptrace::setoptions(pid, options)?;
                Ok(tracee)
            }
            other => bail!("the child did not reach its first mark: {other:?}"),
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// On to the next entry or exit of a system call, or the next mark.
    pub(crate) fn next_syscall(&mut self) -> Result<Stop> {
        ptrace::syscall(self.pid, None)?;
        self.wait()
    }

    /// On to the next mark, or the end.
    pub(crate) fn resume(&mut self) -> Result<Stop> {
        ptrace::cont(self.pid, None)?;
        self.wait()
    }

    /// So many instructions, without a look at where they lead.
    pub(crate) fn steps(&mut self, instructions: u64) -> Result<()> {
        for _ in 0..instructions {
            ptrace::step(self.pid, None)?;
            match waitpid(self.pid, None)? {
                WaitStatus::Stopped(_, Signal::SIGTRAP) => {}
                other => {
                    self.over = matches!(other, WaitStatus::Exited(..) | WaitStatus::Signaled(..));
                    bail!("the child was to make a step: {other:?}");
                }
            }
        }
        Ok(())
    }

    /// What the child does next, and where in its code it is.
    pub(crate) fn next(&self) -> Result<(Next, u64)> {
        let at = ptrace::getregs(self.pid)?.rip;
        let text = ptrace::read(self.pid, at as ptrace::AddressType)?.to_le_bytes();
        let next = match text {
            [BREAKPOINT, ..] => Next::Mark,
            [0x0f, 0x05, ..] => Next::Syscall,
            _ => Next::Other,
        };
        Ok((next, at))
    }

    /// On to where the instruction at `address` is about to be executed for the `time`th time, or to the next mark.
    /// A breakpoint there stands for all the steps on the way.
    pub(crate) fn run_to(&mut self, address: u64, time: u64) -> Result<()> {
        let at = address as ptrace::AddressType;
        let text = ptrace::read(self.pid, at)?;
        let mut planted = text.to_le_bytes();
        planted[0] = BREAKPOINT;
        let planted = i64::from_le_bytes(planted);
        for count in 1..=time {
            ptrace::write(self.pid, at, planted)?;
            match self.resume()? {
                Stop::Mark => {}
                other => bail!("the child was to come to a breakpoint: {other:?}"),
            }
            // Taken away wherever it stopped: a child that is let go must not come upon it.
            ptrace::write(self.pid, at, text)?;
            let mut registers = ptrace::getregs(self.pid)?;
            if registers.rip != address + 1 {
                // A mark: the operation is over.
                return Ok(());
            }
            registers.rip = address;
            ptrace::setregs(self.pid, registers)?;
            if count < time {
                self.steps(1)?;
            }
        }
        Ok(())
    }

    /// The child is let go in the middle of what it does, and stands still: by a real SIGSTOP, and untraced. It stays
    /// this process's child, to be continued, killed and waited for.
    pub(crate) fn leave_stopped(mut self) -> Result<Stopped> {
        self.over = true;
        let stopped = Stopped { pid: self.pid, over: false };
        ptrace::detach(self.pid, Signal::SIGSTOP)?;
        match waitpid(self.pid, Some(WaitPidFlag::WUNTRACED))? {
            WaitStatus::Stopped(_, Signal::SIGSTOP) => Ok(stopped),
            other => bail!("the child was to stop: {other:?}"),
        }
    }

    pub(crate) fn registers(&self) -> Result<user_regs_struct> {
        Ok(ptrace::getregs(self.pid)?)
    }

    pub(crate) fn set_registers(&self, registers: user_regs_struct) -> Result<()> {
        Ok(ptrace::setregs(self.pid, registers)?)
    }

    /// The child runs on untraced, as a process that nobody looks at.
    pub(crate) fn release(mut self) -> Result<Pid> {
        ptrace::detach(self.pid, None)?;
        self.over = true;
        Ok(self.pid)
    }

    /// SIGKILL, and the kernel's word that the child is gone.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.end();
        Ok(())
    }

    /// As [`kill`](Self::kill), where the child still is in somebody's hands.
    pub(crate) fn slay(&mut self) -> Stop {
        self.end();
        Stop::Killed(Signal::SIGKILL)
    }

    fn end(&mut self) {
        if !self.over {
            self.over = true;
            let _ = nix::sys::signal::kill(self.pid, Signal::SIGKILL);
            while let Ok(status) = waitpid(self.pid, None) {
                if matches!(status, WaitStatus::Exited(..) | WaitStatus::Signaled(..)) {
                    break;
                }
            }
        }
    }

    fn wait(&mut self) -> Result<Stop> {
        let stop = match waitpid(self.pid, None)? {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {
                if self.is_at_mark()? {
                    Stop::Mark
                } else {
                    Stop::Stepped
                }
            }
            WaitStatus::Stopped(_, signal) => Stop::Signal(signal),
            WaitStatus::PtraceSyscall(_) => Stop::Syscall,
            WaitStatus::Exited(_, code) => Stop::Exited(code),
            WaitStatus::Signaled(_, signal, _) => Stop::Killed(signal),
            other => bail!("an unexpected stop: {other:?}"),
        };
        self.over |= matches!(stop, Stop::Exited(_) | Stop::Killed(_));
        Ok(stop)
    }

    /// A breakpoint's signal is sent by the kernel itself; a step's by the tracing.
    fn is_at_mark(&self) -> Result<bool> {
        const SI_KERNEL: i32 = 0x80;
        Ok(ptrace::getsiginfo(self.pid)?.si_code == SI_KERNEL)
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        self.end();
    }
}
