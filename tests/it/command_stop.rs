//! `[command] stop`: ends a server that runs on when its client is ended, such as a container.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    process::{Child, Stdio},
};

use rustix::process::Signal;
use support::{Fake, Session, Stage, finish, kill, kill_all, kill_both, messages, turn, until, write_program};

/// The daemon: starts a container for each line `run NAME COMMAND…`, and ends it at `stop NAME`.
const DAEMON: &str = r#"
exec 3<>"$1/requests" 4<>"$1/answers"
while read -r verb name command <&3; do
    case $verb in
        run) $command & echo $! > "$1/$name.pid" ;;
        stop) pid=$(cat "$1/$name.pid") && kill "$pid" && wait "$pid"; rm -f "$1/$name.pid"; echo "$name" >&4 ;;
    esac
done
"#;

/// The client. `run` takes the options of the documentation and no others, and waits until it is ended. The image's
/// arguments are replaced by a llama-server on the published port.
const CLIENT: &str = r#"#!/bin/sh
dir=DIR
[ "$LLAMA_API_KEY$VLLM_API_KEY" = "" ] && { echo "no key in the environment" >&2; exit 1; }
verb=$1; shift
case $verb in
    run)
        while :; do
            case $1 in
                --rm) shift ;;
                --name) name=$2; shift 2 ;;
                -p) port=${2%:*}; port=${port##*:}; shift 2 ;;
                --gpus | --device | -v | -e) shift 2 ;;
                -*) echo "unknown flag: $1" >&2; exit 125 ;;
                *) break ;;
            esac
        done
        shift
        while [ $# -gt 0 ]; do
            case $1 in
                --model) model=$2 ;;
                --max-model-len) context=$2 ;;
            esac
            shift
        done
        key=${VLLM_API_KEY:-$LLAMA_API_KEY}
        echo "run $name llama-server --model GGUF --alias $model --host 127.0.0.1 --port $port -c $context --api-key $key" > "$dir/requests"
        exec sleep 1000
        ;;
    stop)
        [ "$1" = -t ] && shift 2
        echo "stopping $1 with ${VLLM_API_KEY:-$LLAMA_API_KEY}"
        [ -e "$dir/$1.pid" ] || { echo "no such container: $1" >&2; exit 1; }
        echo "stop $1" > "$dir/requests"
        read -r name < "$dir/answers"
        echo "$name"
        ;;
esac
"#;

/// A machine with a container engine.
struct Engine {
    stage: Stage,
    daemon: Child,
}

impl Engine {
    /// Installs the client as `client`.
    fn start(client: &str) -> Self {
        let stage = Stage::new();
        let directory = stage.root().join("engine");
        fs::create_dir(&directory).expect("a directory");
        let fifos = ["requests", "answers"].map(|name| directory.join(name));
        assert!(stage.command("mkfifo").args(fifos).status().expect("mkfifo runs").success());
        let script = CLIENT
            .replace("DIR", &directory.display().to_string())
            .replace("GGUF", &stage.model().display().to_string());
        write_program(&stage.bin().join(client), script);
        let mut daemon = stage.command("/bin/sh");
        daemon.args(["-c", DAEMON, "engine"]).arg(&directory);
        // With another home it isn't taken for something that lclaude left.
        daemon.env("HOME", "/nonexistent").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Engine { stage, daemon: daemon.spawn().expect("sh runs") }
    }

    /// Configures a server in a container. `stop`: the value of that key.
    fn configured(stop: &str) -> Self {
        let engine = Self::start("docker");
        engine.stage.config(&format!(
            "backend = \"command\"\nmodel = \"tiny\"\n[command]\nrun = [\"docker\", \"run\", \"--rm\", \"--name\", \
             \"lclaude-{{port}}\", \"-p\", \"127.0.0.1:{{port}}:8000\", \"image\", \"--model\", \"{{model}}\", \
             \"--max-model-len\", \"{{context}}\"]\nenv = {{ LLAMA_API_KEY = \"{{token}}\" }}\n{stop}\n"
        ));
        engine
    }

    fn session(&self) -> (Session, Fake, Fake) {
        self.stage.started(&mut self.stage.lclaude(&["-p", "hello"]))
    }

    /// Returns the engine's files of containers.
    fn containers(&self) -> Vec<PathBuf> {
        let all = fs::read_dir(self.stage.root().join("engine")).expect("a directory");
        let all = all.map(|entry| entry.expect("a directory entry").path());
        all.filter(|path| path.extension().is_some_and(|ending| ending == "pid")).collect()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.stage.logs().pop().expect("the backend's log")).expect("text")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for container in self.containers() {
            // A failed test leaves it.
            if let Some(pid) = fs::read_to_string(container).ok().and_then(|pid| pid.trim().parse().ok()) {
                kill(pid, Signal::KILL);
            }
        }
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

const STOP: &str = r#"stop = ["docker", "stop", "-t", "5", "lclaude-{port}"]"#;

#[test]
fn container_is_stopped_with_the_last_session() {
    let engine = Engine::configured(STOP);
    let (session, claude, backend) = engine.session();
    turn(&claude);
    // What the next keeper needs to stop it includes the key.
    let runtime = fs::read_dir(engine.stage.runtime()).expect("a directory").flatten();
    for file in runtime.filter(|entry| entry.file_type().expect("a type").is_file()) {
        assert_eq!(file.metadata().expect("it is there").mode() & 0o077, 0, "{}", file.path().display());
    }
    finish(session, &claude);
    engine.stage.wait_for_nothing_left();
    assert!(backend.is_gone());
    assert_eq!(engine.containers(), [] as [PathBuf; 0]);
    let (log, key) = (engine.log(), &claude.env["ANTHROPIC_AUTH_TOKEN"]);
    let port = claude.env["ANTHROPIC_BASE_URL"].rsplit(':').next().expect("a port");
    assert!(log.contains(&format!("stopping lclaude-{port} with ••••••••\nlclaude-{port}\n")), "{log}");
    assert!(!log.contains(key) && !log.contains("failed"), "{log}");
}

#[test]
fn container_is_stopped_before_its_client_is_restarted() {
    let engine = Engine::configured(STOP);
    let (session, claude, backend) = engine.session();
    kill(engine.stage.backend(), Signal::KILL);
    let next = engine.stage.events.next("llama-server");
    assert!(backend.is_gone());
    turn(&claude);
    let ended = finish(session, &claude);
    assert!(ended.stderr.contains("was restarted once"), "{ended:#?}");
    engine.stage.wait_for_nothing_left();
    assert!(next.is_gone());
}

#[test]
fn container_of_a_killed_keeper_is_stopped_by_the_next_one() {
    let engine = Engine::configured(STOP);
    let (session, claude, backend) = engine.session();
    kill(engine.stage.keeper(), Signal::KILL);
    // The session's new keeper stops the old container and starts one on the same port with the same key.
    let next = engine.stage.events.next("llama-server");
    assert!(backend.is_gone());
    turn(&claude);
    finish(session, &claude);
    engine.stage.wait_for_nothing_left();
    assert!(next.is_gone());
}

#[test]
fn container_of_a_killed_keeper_and_session_is_stopped_by_local_stop() {
    let engine = Engine::configured(STOP);
    let (session, claude, backend) = engine.session();
    kill_all(&engine.stage, session, &claude);
    assert!(!backend.is_gone());
    engine.stage.output(&["local", "stop", "--all", "--yes"]).expect(0);
    assert!(backend.is_gone());
    // The next session removes the private directory.
    let (session, claude, _backend) = engine.session();
    finish(session, &claude);
    engine.stage.wait_for_nothing_left();
}

#[test]
fn container_of_a_killed_keeper_and_session_is_stopped_by_the_guard() {
    let engine = Engine::configured(STOP);
    let (session, claude, backend) = engine.session();
    kill_both(&engine.stage, session, &claude);
    backend.wait_gone();
    engine.stage.wait_for_nothing_left();
}

#[test]
fn stop_that_takes_too_long_is_killed_and_logged() {
    let engine = Engine::configured("stop = ['sh', '-c', 'echo waiting; sleep 1000']\nstop_timeout = '200ms'");
    let (session, claude, _backend) = engine.session();
    finish(session, &claude);
    engine.stage.wait_for_nothing_left();
    let log = engine.log();
    let end = "waiting\nlclaude: [command] stop failed: /usr/bin/sh: was killed after 200ms\n";
    assert!(log.ends_with(end) || log.ends_with(&end.replace("/usr/bin", "/bin")), "{log}");
}

#[test]
fn stop_that_fails_is_logged_and_floods_nothing() {
    let engine = Engine::configured("stop = ['sh', '-c', 'yes | head -c 10000000; exit 3']");
    let (session, claude, _backend) = engine.session();
    finish(session, &claude);
    engine.stage.wait_for_nothing_left();
    let log = engine.log();
    assert!(log.ends_with("exited with code 3\n"), "{}", &log[log.len().saturating_sub(200)..]);
    assert!(log.len() < 100_000, "{}", log.len());
}

#[test]
fn unusable_stop_is_a_configuration_error() {
    messages!();
    for (stop, code) in [
        (r#"["docker", "stop", "lclaude-{prot}"]"#, 65),
        (r#"["no-such-docker", "stop", "lclaude-{port}"]"#, 69),
        (r#"["docker", "\u0000"]"#, 65),
    ] {
        messages::note(format!("stop = {stop}"));
        let engine = Engine::configured(&format!("stop = {stop}"));
        engine.stage.output(&["-p", "x"]).expect_failure(code);
        engine.stage.assert_nothing_started();
    }
}

#[test]
fn dry_run_shows_stop_with_masked_token() {
    let engine = Engine::configured(r#"stop = ["docker", "stop", "{token}", "lclaude-{port}"]"#);
    let shown = engine.stage.output(&["--dry-run", "-p", "x"]).expect(0).stdout;
    let expected = format!(
        "  ended by a command, which may take 10s:\n    {} stop '••••••••' lclaude-PORT\n",
        engine.stage.bin().join("docker").display()
    );
    assert!(shown.contains(&expected), "{shown}");
}

#[test]
fn untrusted_project_cannot_set_stop() {
    let engine = Engine::configured(STOP);
    fs::write(engine.stage.project().join(".lclaude.toml"), "[command]\nstop = ['sh', '-c', 'evil']\n")
        .expect("a file");
    let ended = engine.stage.output(&["-p", "x"]).expect(77);
    assert!(ended.stderr.contains("command.stop"), "{ended:#?}");
    engine.stage.assert_nothing_started();
}

#[test]
fn example_of_the_documentation_works_with_docker_and_podman() {
    let text = fs::read_to_string(support::repository().join("docs/containers.md")).expect("the page");
    let (_, example) = text.split_once("```toml\n").expect("an example");
    let (example, _) = example.split_once("```").expect("its end");
    for client in ["docker", "podman"] {
        let engine = Engine::start(client);
        engine.stage.config(&example.replace("\"docker\"", &format!("\"{client}\"")));
        let (session, claude, backend) = engine.session();
        assert_eq!(claude.env["ANTHROPIC_DEFAULT_SONNET_MODEL"], "Qwen/Qwen3-Coder-30B-A3B-Instruct");
        turn(&claude);
        finish(session, &claude);
        engine.stage.wait_for_nothing_left();
        until("the container is stopped", || backend.is_gone());
        assert_eq!(engine.containers(), [] as [PathBuf; 0]);
    }
}
