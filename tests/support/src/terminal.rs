//! A pseudo-terminal that a test can type into, read and close.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{self, PipeReader, PipeWriter, Read, Write},
    os::{
        fd::AsRawFd,
        unix::{
            ffi::OsStringExt,
            fs::OpenOptionsExt,
            process::{CommandExt, ExitStatusExt},
        },
    },
    path::PathBuf,
    process::{Child, Command},
    sync::{Arc, Condvar, Mutex},
    thread::{self, JoinHandle},
    time::Instant,
};

use lclaude_fakes::events::PATIENCE;
use rustix::{
    process::{ioctl_tiocsctty, setsid},
    pty,
    termios::{Winsize, tcsetwinsize},
};

use super::{Stage, session::shell_code};

/// The prompt of the shell of [`Terminal::shell`].
pub const PROMPT: &str = "ready> ";

/// The size of every terminal.
pub const COLUMNS: u16 = 80;
pub const ROWS: u16 = 24;

pub struct Terminal {
    child: Child,
    line: PathBuf,
    open: Option<Open>,
    shown: Arc<Shown>,
    /// How many bytes of the output [`Terminal::wait_for`] has consumed.
    seen: usize,
}

/// The master side. Dropping it closes the terminal.
struct Open {
    keyboard: File,
    reader: Option<JoinHandle<()>>,
    /// Dropping it ends the reader.
    reading: Option<PipeWriter>,
}

#[derive(Default)]
struct Shown {
    bytes: Mutex<Vec<u8>>,
    more: Condvar,
}

impl Terminal {
    /// Runs `command` in a new terminal of 80 columns, as a terminal emulator would.
    pub fn start(command: Command) -> Self {
        Terminal::start_with_columns(command, COLUMNS)
    }

    /// Like [`Terminal::start`], with another width.
    pub fn start_with_columns(mut command: Command, columns: u16) -> Self {
        // Unlike openpty(3), this opens the terminal close-on-exec, so no child of another test inherits it.
        let keyboard = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOCTTY)
            .open("/dev/ptmx")
            .expect("a pseudo-terminal");
        let line = unlock(&keyboard);
        tcsetwinsize(&keyboard, Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).expect("a size");

        let end = open_line(&line);
        let copy = || end.try_clone().expect("a descriptor");
        command.stdin(copy()).stdout(copy()).stderr(copy());
        // SAFETY: between fork and exec the closure makes two system calls and touches no lock and no heap.
        unsafe {
            command.pre_exec(|| {
                setsid()?;
                ioctl_tiocsctty(io::stdin())?;
                Ok(())
            })
        };
        let child = command.spawn().expect("the program runs");
        // The command holds copies of the descriptors, which only the program should have.
        drop(command);

        let shown = Arc::new(Shown::default());
        let (stop, reading) = io::pipe().expect("a pipe");
        let reader = thread::spawn({
            let (screen, shown) = (keyboard.try_clone().expect("a descriptor"), Arc::clone(&shown));
            move || show(screen, &stop, &shown)
        });
        let open = Open { keyboard, reader: Some(reader), reading: Some(reading) };
        Terminal { child, line, open: Some(open), shown, seen: 0 }
    }

    /// An interactive shell that waits for a command. It has no line editing, because that would repair a terminal that
    /// lclaude left in a bad state.
    pub fn shell(stage: &Stage) -> Self {
        let mut command = stage.command("bash");
        command.args(["--noediting", "--norc", "-i"]).env("PS1", PROMPT);
        let mut shell = Self::start(command);
        shell.wait_for(PROMPT);
        shell
    }

    pub fn pid(&self) -> i32 {
        self.child.id().try_into().expect("a process number")
    }

    pub fn type_in(&self, keys: &str) {
        let open = self.open.as_ref().expect("not closed yet");
        (&open.keyboard).write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Types a command for the shell and waits until it is echoed.
    pub fn enter(&mut self, command: &str) {
        self.type_in(&format!("{command}\n"));
        self.wait_for(&format!("{command}\r\n"));
    }

    /// Waits until `text` is printed after the text of the previous wait.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        let shown = Arc::clone(&self.shown);
        let found = shown.wait_until(|bytes| {
            let new = &bytes[self.seen..];
            new.windows(text.len()).position(|window| window == text.as_bytes())
        });
        let found = found.unwrap_or_else(|| panic!("no {text:?} in {:?}", self.output()));
        self.seen += found + text.len();
    }

    /// Waits until the lines of the screen satisfy `is`.
    #[track_caller]
    pub fn wait_for_screen(&self, is: impl Fn(&[String]) -> bool) {
        let found = self.shown.wait_until(|bytes| is(&screen(bytes)).then_some(()));
        assert!(found.is_some(), "{:#?}\nafter {:?}", self.screen(), self.output());
    }

    /// Like [`Terminal::wait_for_screen`] for a full-screen program, which uses all that a terminal can do. Returns
    /// everything that was printed until then.
    #[track_caller]
    pub fn wait_for_window(&self, is: impl Fn(&[String]) -> bool) -> Vec<u8> {
        let found = self.shown.wait_until(|bytes| is(&window(bytes)).then(|| bytes.to_owned()));
        let last = window(&self.shown.bytes.lock().expect("no thread panics with it"));
        found.unwrap_or_else(|| panic!("{last:#?}"))
    }

    /// Everything that was printed, including control sequences.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&self.shown.bytes.lock().expect("no thread panics with it")).into_owned()
    }

    /// The visible lines, without empty ones.
    pub fn screen(&self) -> Vec<String> {
        screen(&self.shown.bytes.lock().expect("no thread panics with it"))
    }

    /// The terminal's modes, as printed by `stty -a`.
    pub fn modes(&self) -> String {
        let stty = Command::new("stty").arg("-a").stdin(open_line(&self.line)).output().expect("stty runs");
        assert!(stty.status.success(), "{stty:?}");
        String::from_utf8_lossy(&stty.stdout).into_owned()
    }

    /// Closes the terminal, like closing a window.
    pub fn close(&mut self) {
        self.open = None;
    }

    /// Waits until the program has exited, and returns its exit code as a shell reports it.
    pub fn wait(mut self) -> Option<i32> {
        shell_code(self.child.wait().expect("the program can be waited for"))
    }

    /// Waits until the program has ended, and returns the signal that ended it.
    pub fn wait_for_signal(mut self) -> Option<i32> {
        self.child.wait().expect("the program can be waited for").signal()
    }

    /// Waits until no process holds the terminal, and returns everything that was printed.
    #[track_caller]
    pub fn wait_to_the_end(mut self, code: i32) -> String {
        let ended = self.wait_until_released();
        assert_eq!(ended, Some(code), "{:#?}", self.screen());
        self.output()
    }

    /// Like [`Terminal::wait_to_the_end`], whatever the exit code is.
    pub fn wait_to_any_end(mut self) -> String {
        self.wait_until_released();
        self.output()
    }

    /// Waits until no process holds the terminal, and returns the program's exit code.
    fn wait_until_released(&mut self) -> Option<i32> {
        let ended = self.child.wait().expect("the program can be waited for");
        let reader = self.open.as_mut().and_then(|open| open.reader.take()).expect("not closed yet");
        reader.join().expect("no thread panics");
        shell_code(ended)
    }

    /// Exits the shell, which must have no jobs left.
    pub fn leave(mut self) {
        self.enter("exit 0");
        assert_eq!(self.wait(), Some(0));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A failed test leaves the program running. Its children end with the terminal.
        if thread::panicking() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.reading = None;
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Shown {
    fn wait_until<T>(&self, mut look: impl FnMut(&[u8]) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + PATIENCE;
        let mut bytes = self.bytes.lock().expect("no thread panics with it");
        loop {
            if let Some(found) = look(&bytes) {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let (again, waited) = self.more.wait_timeout(bytes, left).expect("no thread panics with it");
            bytes = again;
            if waited.timed_out() {
                return look(&bytes);
            }
        }
    }
}

/// Unlocks the slave side, and returns its path.
fn unlock(terminal: &File) -> PathBuf {
    pty::grantpt(terminal).and_then(|()| pty::unlockpt(terminal)).expect("it is ours");
    let name = pty::ptsname(terminal, Vec::new()).expect("it has a name");
    OsString::from_vec(name.into_bytes()).into()
}

fn open_line(path: &PathBuf) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_NOCTTY).open(path).expect("the slave side of the terminal")
}

/// Reads the output until the terminal is closed or no process holds it.
fn show(mut screen: File, stop: &PipeReader, shown: &Shown) {
    let wanted = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut buffer = [0u8; 4096];
    loop {
        let mut ready = [wanted(screen.as_raw_fd()), wanted(stop.as_raw_fd())];
        // SAFETY: both descriptors are open, and the array has two elements.
        let polled = unsafe { libc::poll(ready.as_mut_ptr(), 2, -1) };
        if polled < 0 && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted {
            continue;
        }
        // Closing the pipe means that the terminal is to be closed.
        if ready[1].revents != 0 {
            return;
        }
        // Linux returns an error once no process holds the slave side.
        let Ok(read @ 1..) = screen.read(&mut buffer) else {
            return;
        };
        shown.bytes.lock().expect("no thread panics with it").extend_from_slice(&buffer[..read]);
        shown.more.notify_all();
    }
}

/// Returns the cursor's row and column in a terminal emulator that got this output.
pub fn cursor(output: &str) -> (u16, u16) {
    let mut emulator = vt100::Parser::new(ROWS, COLUMNS, 0);
    emulator.process(output.as_bytes());
    emulator.screen().cursor_position()
}

/// Returns the lines of a terminal emulator that got this output, without empty ones.
fn window(bytes: &[u8]) -> Vec<String> {
    let mut emulator = vt100::Parser::new(ROWS, COLUMNS, 0);
    emulator.process(bytes);
    emulator.screen().rows(0, COLUMNS).filter(|line| !line.trim().is_empty()).collect()
}

/// Renders the visible lines. It understands cursor movements and erasures only.
fn screen(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut rows: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0usize, 0usize);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\r' => column = 0,
            '\n' => row += 1,
            '\x08' => column = column.saturating_sub(1),
            '\x07' => {}
            '\x1b' => {
                if characters.next() != Some('[') {
                    continue;
                }
                let mut parameters = String::new();
                let last = characters.by_ref().find(|character| {
                    let is_last = ('@'..='~').contains(character);
                    if !is_last {
                        parameters.push(*character);
                    }
                    is_last
                });
                let number = parameters.parse::<usize>().ok();
                let count = number.unwrap_or(1);
                match last {
                    Some('A') => row = row.saturating_sub(count),
                    Some('B') => row += count,
                    Some('C') => column += count,
                    Some('D') => column = column.saturating_sub(count),
                    Some('G') => column = count - 1,
                    Some('H') if parameters.is_empty() => (row, column) = (0, 0),
                    Some('J') if parameters.is_empty() => {
                        rows.truncate(row + 1);
                        rows[row].truncate(column);
                    }
                    Some('K') if number == Some(2) => rows[row].clear(),
                    Some('K') => rows[row].truncate(column),
                    // Colors and modes.
                    Some('m' | 'h' | 'l' | 'u') | None => {}
                    Some(other) => panic!("unsupported control sequence: ESC [ {parameters} {other}"),
                }
            }
            character => {
                // A full line continues on the next one.
                if column == usize::from(COLUMNS) {
                    (row, column) = (row + 1, 0);
                    rows.resize(rows.len().max(row + 1), Vec::new());
                }
                if rows[row].len() <= column {
                    rows[row].resize(column + 1, ' ');
                }
                rows[row][column] = character;
                column += 1;
            }
        }
        while rows.len() <= row {
            rows.push(Vec::new());
        }
    }
    let lines = rows.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}
