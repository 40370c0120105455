//! A virtual machine.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::Absent;
use crate::image::{found, image};
use crate::kernel::Kernel;
use crate::network::Network;
use crate::payload::Payload;
use crate::shell::{Output, Shell, Silence};

/// A boot takes 3 s on a quiet machine, 20 s on one with six busy processes a core.
const BOOT: Duration = Duration::from_secs(180);

/// MiB. A test program for two kinds of kernel, its libraries and what it makes.
const MEMORY: u32 = 512;

/// A running virtual machine; dropping it ends it.
#[derive(Debug)]
pub struct Machine {
    name: String,
    qemu: Child,
    shell: Mutex<Option<Shell>>,
    /// Holds the first file system and what the kernel says.
    folder: tempfile::TempDir,
}

impl Machine {
    /// One machine, alone.
    ///
    /// # Errors
    /// When this host lacks something for it.
    ///
    /// # Panics
    /// When it is started and does not come up: that is a failure, not something absent.
    pub fn boot(payload: &Payload) -> Result<Self, Absent> {
        let image = Image::new(payload)?;
        let machine = Self::start("vm1", &image, &[], &[])?;
        machine.ready();
        Ok(machine)
    }

    /// Several machines on a network of their own, all booting at once.
    ///
    /// # Errors
    /// When this host lacks something for it.
    ///
    /// # Panics
    /// As [`Machine::boot`].
    pub fn boot_on(network: &Network, machines: usize, payload: &Payload) -> Result<Vec<Self>, Absent> {
        let image = Image::new(payload)?;
        let mut started = Vec::new();
        for n in 0..machines {
            if let Some(socket) = network.needs(n) {
                wait_for("the network's socket", || socket.exists());
            }
            started.push(Self::start(&format!("vm{}", n + 1), &image, &network.arguments(n), &Network::addresses(n))?);
        }
        started.iter().for_each(Self::ready);
        Ok(started)
    }

    fn start(name: &str, image: &Image, network: &[String], addresses: &[String]) -> Result<Self, Absent> {
        let absent = |e: std::io::Error| Absent(format!("{name}: {e}"));
        let folder = tempfile::Builder::new().prefix("chaos-testbed-").tempdir().map_err(absent)?;
        let addresses: String = addresses.iter().map(|a| format!(" testbed.address={a}")).collect();
        // A busy host lets the guest wait at any moment: checks that take that for broken hardware, or for a hang, are off.
        let checks = "no_timer_check nowatchdog tsc=reliable rcupdate.rcu_cpu_stall_suppress=1";
        let kernel_line =
            format!("console=ttyS0 quiet panic=1 mitigations=off random.trust_cpu=on {checks} testbed.name={name}{addresses}");
        let mut command = Command::new(&image.qemu);
        command.args(["-nodefaults", "-no-reboot", "-display", "none", "-machine", "q35,usb=off", "-cpu", "max", "-smp", "2"]);
        // By translation alone: hardware inside of a virtual machine, where CI runs, is offered and then fails half-way.
        command.args(["-accel", "tcg,thread=multi"]);
        command.arg("-m").arg(MEMORY.to_string());
        command.arg("-kernel").arg(&image.kernel).arg("-initrd").arg(image.folder.path().join("initrd")).arg("-append").arg(kernel_line);
        command.arg("-serial").arg(format!("file:{}", folder.path().join("console").display()));
        command.args(["-chardev", "stdio,id=shell,signal=off", "-device", "virtio-serial-pci"]);
        command.args(["-device", "virtserialport,chardev=shell"]).args(network);
        let complaints = File::create(folder.path().join("complaints")).map_err(absent)?;
        let mut qemu = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(complaints).spawn().map_err(absent)?;
        let (to, from) = (qemu.stdin.take().expect("piped"), qemu.stdout.take().expect("piped"));
        Ok(Self { name: name.into(), qemu, shell: Mutex::new(Some(Shell::new(to, from))), folder })
    }

    fn ready(&self) {
        let came = self.with_shell(|shell| shell.ready(BOOT));
        came.unwrap_or_else(|silence| self.fail("did not come up", &silence));
    }

    /// Runs a shell script there, as root; fails the test when it takes longer than it may.
    ///
    /// # Panics
    /// When there is no answer in time.
    pub fn run(&self, script: &str, patience: Duration) -> Output {
        let output = self.with_shell(|shell| shell.run(script, patience));
        output.unwrap_or_else(|silence| self.fail(script, &silence))
    }

    /// Runs a short script that must succeed, and gives what it says.
    ///
    /// # Panics
    /// When it fails.
    pub fn sh(&self, script: &str) -> String {
        let output = self.run(script, Duration::from_secs(120));
        assert_eq!(output.status, 0, "{}: {script}\n{}", self.name, output.text);
        output.text
    }

    /// Runs tests of this very test program there ([`Payload::with_this_test`]), and gives what they say.
    ///
    /// # Panics
    /// When one of them fails.
    pub fn run_this_test(&self, arguments: &[&str], patience: Duration) -> String {
        let program = std::env::current_exe().expect("our own path");
        let arguments: String = arguments.iter().map(|a| format!(" '{a}'")).collect();
        let script = format!("export CHAOS_NOT_COVERED=/run/not-covered\n'{}'{arguments}", program.display());
        let output = self.run(&script, patience);
        assert_eq!(output.status, 0, "{}:{arguments} failed there:\n{}", self.name, output.text);
        // A skip that is counted there is counted here.
        for line in self.sh("cat /run/not-covered 2>/dev/null; rm -f /run/not-covered").lines() {
            let (test, why) = line.split_once(": ").unwrap_or((line, ""));
            crate::not_covered(&format!("{test} (in a virtual machine)"), why);
        }
        output.text
    }

    /// What happens when the test is killed: nobody holds the port any more. Waits until the machine has gone off by itself.
    ///
    /// # Panics
    /// When it stays on.
    pub fn abandon(mut self) {
        drop(self.shell.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
        let since = Instant::now();
        while self.qemu.try_wait().expect("our child").is_none() {
            assert!(since.elapsed() < BOOT, "{} stays on although nobody speaks to it any more", self.name);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn with_shell<T>(&self, speak: impl FnOnce(&mut Shell) -> Result<T, Silence>) -> Result<T, Silence> {
        let mut shell = self.shell.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        speak(shell.as_mut().expect("it speaks until it is dropped"))
    }

    fn fail(&self, what: &str, silence: &Silence) -> ! {
        let read = |name: &str| std::fs::read(self.folder.path().join(name)).unwrap_or_default();
        let tail = |name: &str| {
            let text = String::from_utf8_lossy(&read(name)).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(40)..].join("\n")
        };
        let (console, complaints) = (tail("console"), tail("complaints"));
        panic!("{}: {what}: {}\nit said: {}\nits kernel: {console}\nQEMU: {complaints}", self.name, silence.why, silence.heard);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// What machines are started from.
struct Image {
    qemu: PathBuf,
    kernel: PathBuf,
    folder: tempfile::TempDir,
}

impl Image {
    fn new(payload: &Payload) -> Result<Self, Absent> {
        if std::env::var_os("CHAOS_TESTS_QUICK").is_some() {
            return Err(Absent("virtual machines: left out with --quick".into()));
        }
        if !cfg!(target_arch = "x86_64") {
            return Err(Absent("virtual machines are set up for x86-64 only".into()));
        }
        let qemu = found("qemu-system-x86_64")?;
        let kernel = Kernel::get()?;
        let folder = tempfile::Builder::new().prefix("chaos-testbed-").tempdir().map_err(|e| Absent(format!("no folder: {e}")))?;
        let mut bytes = image(&kernel)?;
        bytes.extend(payload.pack()?);
        let path = folder.path().join("initrd");
        std::fs::write(&path, bytes).map_err(|e| Absent(format!("{}: {e}", path.display())))?;
        Ok(Self { qemu, kernel: kernel.image(), folder })
    }
}

fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < BOOT, "never came: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
