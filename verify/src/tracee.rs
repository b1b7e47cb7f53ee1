//! A child process under `ptrace`: stepped one instruction or one system call at a time, and killed where wanted.

#![allow(unsafe_code, reason = "fork, breakpoints")]

use anyhow::{Result, bail};
use nix::libc::user_regs_struct;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

/// A stopped child.
#[derive(Debug)]
pub(crate) struct Tracee {
    pid: Pid,
    over: bool,
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

/// Stops the calling child for its tracer.
#[inline(always)]
pub(crate) fn mark() {
    // SAFETY: a breakpoint changes no state but the instruction pointer.
    unsafe { core::arch::asm!("int3", options(nomem, nostack, preserves_flags)) };
}

impl Tracee {
    /// Forks a child that runs `body` and exits. Returns at its first [`mark`]. This process must have one
    /// thread; its rings' descriptors are closed in the child by the library.
    pub(crate) fn start(body: impl FnOnce()) -> Result<Self> {
        // SAFETY: this process has one thread, so the child may do whatever the parent may.
        match unsafe { fork() }? {
            ForkResult::Child => {
                // A tracer that dies takes the child with it.
                let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
                let code = match ptrace::traceme() {
                    Ok(()) => {
                        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_err();
                        i32::from(panicked)
                    }
                    Err(_) => 2,
                };
                // SAFETY: `_exit` is always allowed; destructors and buffers belong to the parent.
                unsafe { nix::libc::_exit(code) }
            }
            ForkResult::Parent { child } => {
                let mut tracee = Self { pid: child, over: false };
                match tracee.wait()? {
                    Stop::Mark => {
                        ptrace::setoptions(
                            child,
                            ptrace::Options::PTRACE_O_TRACESYSGOOD | ptrace::Options::PTRACE_O_EXITKILL,
                        )?;
                        Ok(tracee)
                    }
                    other => bail!("the child did not reach its first mark: {other:?}"),
                }
            }
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// One instruction. A system call counts as one.
    pub(crate) fn step(&mut self) -> Result<Stop> {
        ptrace::step(self.pid, None)?;
        self.wait()
    }

    /// On to the next entry or exit of a system call, or the next mark.
    pub(crate) fn to_syscall(&mut self) -> Result<Stop> {
        ptrace::syscall(self.pid, None)?;
        self.wait()
    }

    /// On to the next mark, or the end.
    pub(crate) fn resume(&mut self) -> Result<Stop> {
        ptrace::cont(self.pid, None)?;
        self.wait()
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
