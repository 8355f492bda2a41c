//! `/api/pull`: lines of progress, and errors with HTTP status 200. Downloaded data is kept when the
//! client hangs up, and the next pull resumes.

use std::io;
use std::net::TcpStream;

use lclaude_fakes::http::{Answer, Chunks, Request};
use lclaude_fakes::steps::Client;
use serde_json::{Value, json};

use crate::answers;
use crate::models::{Model, digest, is_valid_name};
use crate::server::{Server, body};
use crate::switches::Pull;

/// The size of the second, small layer that every model has.
const SMALL: u64 = 487;

pub fn pull(request: &Request, stream: &mut TcpStream, client: &Client, server: &Server) -> io::Result<()> {
    let body = body(request);
    let refused = match &body {
        Err(why) => Some(*why),
        Ok(body) if !answers::name(body).is_some_and(is_valid_name) => Some("invalid model name"),
        Ok(_) => None,
    };
    if let Some(why) = refused {
        return answers::error(400, why).write(stream, "");
    }
    let body = body.unwrap_or_default();
    let name = answers::name(&body).unwrap_or_default();
    if body["stream"] == false {
        return whole(name, server).write(stream, "");
    }
    let mut lines = Lines(Chunks::start(stream, "application/x-ndjson", "")?);
    lines.send(&json!({ "status": "pulling manifest" }))?;
    match find(name, server) {
        Ok(model) => {
            let mut completed = server.store.partial(&model);
            server.control.event("pull", json!({ "model": model.name, "completed": completed }));
            let result = transfer(&model, &mut completed, &mut lines, client, server);
            match &result {
                Ok(End::Success) => server.control.event("pulled", json!({ "model": model.name })),
                // The client hung up, which cancels the pull.
                Ok(End::HungUp) | Err(_) => {
                    server.control.event("pull_cancelled", json!({ "model": model.name, "completed": completed }));
                }
                Ok(End::Error) => {}
            }
            result?;
        }
        Err(why) => lines.send(&json!({ "error": why }))?,
    }
    lines.0.end()
}

enum End {
    Success,
    Error,
    HungUp,
}

struct Lines<'a>(Chunks<'a, TcpStream>);

impl Lines<'_> {
    fn send(&mut self, line: &Value) -> io::Result<()> {
        self.0.send(&format!("{line}\n"))
    }

    /// The progress of one layer; the sizes of other layers are not included.
    fn layer(&mut self, digest: &str, total: u64, completed: u64) -> io::Result<()> {
        self.send(&json!({
            "status": format!("pulling {}", &digest[..12]),
            "digest": format!("sha256:{digest}"),
            "total": total,
            "completed": completed,
        }))
    }
}

fn find(name: &str, server: &Server) -> Result<Model, String> {
    if server.switches.pull == Pull::Offline {
        let (model, tag) = name.split_once(':').unwrap_or((name, "latest"));
        return Err(format!(
            "pull model manifest: Get \"https://registry.ollama.ai/v2/library/{model}/manifests/{tag}\": \
             dial tcp: lookup registry.ollama.ai on 127.0.0.53:53: no such host"
        ));
    }
    server.store.find(name).ok_or_else(|| "pull model manifest: file does not exist".to_owned())
}

fn transfer(
    model: &Model,
    completed: &mut u64,
    lines: &mut Lines,
    client: &Client,
    server: &Server,
) -> io::Result<End> {
    let total = model.size;
    if !model.installed {
        match server.switches.pull {
            Pull::WhenTold => {
                if let Some(end) = obey(model, completed, lines, client, server)? {
                    return Ok(end);
                }
            }
            Pull::AtOnce | Pull::Offline => {
                for quarter in 0..4 {
                    lines.layer(&model.digest(), total, (*completed).max(total / 4 * quarter))?;
                }
            }
        }
    }
    lines.layer(&model.digest(), total, total)?;
    lines.layer(&digest("the small layer"), SMALL, SMALL)?;
    for status in ["verifying sha256 digest", "writing manifest"] {
        lines.send(&json!({ "status": status }))?;
    }
    // Before the client gets the response, because it may request the model at once.
    server.store.install(model);
    lines.send(&json!({ "status": "success" }))?;
    Ok(End::Success)
}

/// Continues as the test says. Returns `None` when the pull is to finish.
fn obey(
    model: &Model,
    completed: &mut u64,
    lines: &mut Lines,
    client: &Client,
    server: &Server,
) -> io::Result<Option<End>> {
    const STEPS: [&str; 4] = ["pull_progress", "pull_line", "pull_error", "pull_finish"];
    if *completed > 0 {
        lines.layer(&model.digest(), model.size, *completed)?;
    }
    while let Some(step) = server.steps.wait(&STEPS, client) {
        match step.name() {
            "pull_progress" => {
                *completed = step.value("completed").as_u64().expect("pull_progress says how much is completed");
                server.store.keep_partial(model, *completed);
                lines.layer(&model.digest(), model.size, *completed)?;
            }
            "pull_line" => lines.send(step.value("line"))?,
            "pull_error" => {
                lines.send(&json!({ "error": step.text("error") }))?;
                return Ok(Some(End::Error));
            }
            _ => return Ok(None),
        }
    }
    Ok(Some(End::HungUp))
}

/// `"stream": false`: one response at the end, and errors have their own status.
fn whole(name: &str, server: &Server) -> Answer {
    match find(name, server) {
        Ok(model) => {
            server.store.install(&model);
            Answer::json(200, &json!({ "status": "success" }))
        }
        Err(why) => answers::error(500, &why),
    }
}
