//! LM Studio's HTTP server.

use std::io::{self, BufReader};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use lclaude_fakes::anthropic;
use lclaude_fakes::http::{Answer, Request};
use serde_json::{Value, json};

use crate::daemon::Studio;

const TEXT: &str = "Hello from the fake LM Studio.";

pub struct Web {
    pub port: u16,
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    listening: JoinHandle<()>,
}

impl Web {
    pub fn start(interface: &str, port: u16, studio: Arc<Studio>) -> io::Result<Self> {
        let listener = TcpListener::bind((interface, port))?;
        let address = listener.local_addr()?;
        let (stopped, connections) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<TcpStream>>>::default());
        let (end, all) = (Arc::clone(&stopped), Arc::clone(&connections));
        let listening = thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                all.lock().expect("no thread panics with it").extend(stream.try_clone());
                let studio = Arc::clone(&studio);
                thread::spawn(move || drop(talk(stream, &studio)));
            }
        });
        Ok(Self { port, address, stopped, connections, listening })
    }

    /// Releases the port and closes all connections.
    pub fn stop(self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.address);
        let _ = self.listening.join();
        for connection in self.connections.lock().expect("no thread panics with it").iter() {
            // Fails for a connection that is already closed.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

fn talk(mut stream: TcpStream, studio: &Studio) -> io::Result<()> {
    // Responses are sent in several writes, and the kernel would delay the later ones by 40 ms.
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = Request::read(&mut reader)? {
        let headers = if request.closes_connection() { "Connection: close\r\n" } else { "" };
        answer(&request, studio).write(&mut stream, headers)?;
        if request.closes_connection() {
            // Another handle keeps the connection open for the end of the server.
            return stream.shutdown(Shutdown::Both);
        }
    }
    Ok(())
}

fn answer(request: &Request, studio: &Studio) -> Answer {
    // Its own polling is not reported.
    if request.path == "/lmstudio-greeting" {
        return Answer::json(200, &json!({ "lmstudio": true }));
    }
    studio.control.event("request", request.describe());
    if !is_authorized(request) {
        return error(401, "invalid_api_key", "An LM Studio API token is required to make requests to this server.");
    }
    match (&*request.method, &*request.path) {
        ("GET", "/v1/models") => models_as_openai(studio),
        ("GET", "/api/v1/models") => models(studio),
        ("POST", "/api/v1/models/load") => load(&body(request), studio),
        ("POST", "/api/v1/models/unload") => unload(&body(request), studio),
        ("POST", "/v1/messages") => messages(&body(request), studio),
        // The real program doesn't return 404.
        (method, path) => {
            Answer::json(200, &json!({ "error": format!("Unexpected endpoint or method. ({method} {path})") }))
        }
    }
}

fn is_authorized(request: &Request) -> bool {
    let Ok(token) = std::env::var("FAKE_LMS_TOKEN") else {
        return true;
    };
    let bearer = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    [bearer, request.header("x-api-key")].contains(&Some(&token))
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap_or_default()
}

fn models_as_openai(studio: &Studio) -> Answer {
    // Loaded models by their identifiers, models on disk by their keys.
    let mut ids: Vec<String> = identifiers(studio);
    for model in studio.home.installed() {
        if !ids.contains(&model.model_key) {
            ids.push(model.model_key);
        }
    }
    let data: Value =
        ids.iter().map(|id| json!({ "id": id, "object": "model", "owned_by": "organization_owner" })).collect();
    Answer::json(200, &json!({ "data": data, "object": "list" }))
}

fn identifiers(studio: &Studio) -> Vec<String> {
    let loaded = studio.ps();
    let loaded = loaded.as_array().into_iter().flatten();
    loaded.filter_map(|entry| entry["identifier"].as_str().map(str::to_owned)).collect()
}

fn models(studio: &Studio) -> Answer {
    let loaded = studio.ps();
    let instances = |key: &str| -> Value {
        let instances = loaded.as_array().into_iter().flatten().filter(|entry| entry["modelKey"] == key);
        instances
            .map(|entry| json!({ "id": entry["identifier"], "config": { "context_length": entry["contextLength"] } }))
            .collect()
    };
    let models: Value = studio
        .home
        .installed()
        .iter()
        .map(|model| {
            json!({
                "type": model.kind,
                "key": model.model_key,
                "display_name": model.model_key.rsplit('/').next(),
                "size_bytes": model.size_bytes,
                "loaded_instances": instances(&model.model_key),
                "max_context_length": model.max_context_length,
                "format": "gguf",
                "capabilities": { "vision": false, "trained_for_tool_use": model.trained_for_tool_use },
            })
        })
        .collect();
    Answer::json(200, &json!({ "models": models }))
}

fn load(body: &Value, studio: &Studio) -> Answer {
    let context = body["context_length"].as_u64().and_then(|number| u32::try_from(number).ok());
    match studio.load(body["model"].as_str().unwrap_or_default(), None, context, None, None) {
        Ok(loaded) => Answer::json(
            200,
            &json!({
                "type": "llm",
                "instance_id": loaded.identifier,
                "load_time_seconds": 1.2,
                "status": "loaded",
                "load_config": { "context_length": loaded.context_length },
            }),
        ),
        Err(why) => error(500, "model_load_failed", &why),
    }
}

fn unload(body: &Value, studio: &Studio) -> Answer {
    let instance = body["instance_id"].as_str().unwrap_or_default();
    if studio.unload(instance) {
        Answer::json(200, &json!({ "instance_id": instance }))
    } else {
        error(404, "model_not_found", &format!("No loaded model with the instance id \"{instance}\"."))
    }
}

fn messages(body: &Value, studio: &Studio) -> Answer {
    let invalid = |message: &str| {
        let error = json!({ "type": "invalid_request_error", "message": message });
        Answer::json(400, &json!({ "type": "error", "error": error }))
    };
    let roles = body["messages"].as_array().into_iter().flatten().map(|message| &message["role"]);
    if roles.clone().count() == 0 {
        return invalid("messages: Required");
    }
    if roles.into_iter().any(|role| role != "user" && role != "assistant") {
        return invalid("messages: Invalid discriminator value. Expected 'user' | 'assistant'");
    }
    let model = body["model"].as_str().unwrap_or_default();
    if !identifiers(studio).iter().any(|known| known == model) {
        // Loaded just in time, with a default context.
        if studio.load(model, None, None, None, None).is_err() {
            return invalid(&format!(
                "Invalid model identifier \"{model}\". Please specify a valid downloaded model \
                 (e.g. qwen/qwen3-4b)."
            ));
        }
    }
    let (content, stop_reason) = match anthropic::offered_tool(body) {
        Some(name) => (anthropic::tool_use(name), "tool_use"),
        None => (json!({ "type": "text", "text": TEXT }), "end_turn"),
    };
    let message = json!({
        "id": "msg_fake",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [content],
        "stop_reason": stop_reason,
        "stop_sequence": null,
        "usage": { "input_tokens": 10, "output_tokens": 6 },
    });
    if body["stream"] == true { Answer::Events(anthropic::events(message)) } else { Answer::json(200, &message) }
}

fn error(status: u16, kind: &str, message: &str) -> Answer {
    Answer::json(status, &json!({ "error": { "type": kind, "message": message } }))
}
