//! The network between a scripted model's embedding and its output matrix, in the shapes of real models.
//!
//! Only what decides the kind and size of the prompt cache is as in real models. Everything else is as small as it can be,
//! so that two cores read 18,000 tokens in less than a minute.

use super::random::Random;
use crate::gguf::{Gguf, Tensor, Value};

/// The architecture and size of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One narrow layer, for sessions in which only the answer matters.
    Tiny,
    /// Full attention in which two heads share keys and values, as in Qwen3-Coder.
    Full,
    /// Multi-head latent attention, as in GLM-4.7-Flash.
    Mla,
    /// A full attention layer after three recurrent ones, as in Qwen3.5. The state of a recurrent layer can't be cut, so
    /// llama-server reuses only a prefix that ends where it was saved.
    Hybrid,
    /// Sliding windows of 512 tokens, as in Gemma 3. llama-server reuses nothing of a restored slot.
    Sliding,
    /// Full attention with a cache of half a megabyte a token.
    Wide,
}

/// The size of the feed-forward part of each layer.
const FEED_FORWARD: usize = 32;
/// The dimensions of a query or key that have a position.
const ROPE: usize = 32;

/// The sizes of an attention.
struct Heads {
    queries: usize,
    keys: usize,
    size: usize,
}

impl Shape {
    const ALL: [Self; 6] = [Self::Tiny, Self::Full, Self::Mla, Self::Hybrid, Self::Sliding, Self::Wide];

    /// Returns the shape with this name, which is the variant's in lower case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shape| shape.name() == name)
    }

    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// Returns the embedding's width.
    pub fn width(self) -> usize {
        match self {
            Self::Tiny | Self::Wide => 64,
            Self::Full | Self::Mla | Self::Hybrid | Self::Sliding => 256,
        }
    }

    pub fn architecture(self) -> &'static str {
        match self {
            Self::Tiny | Self::Full | Self::Wide => "llama",
            Self::Mla => "deepseek2",
            Self::Hybrid => "qwen35",
            Self::Sliding => "gemma3",
        }
    }

    fn layers(self) -> usize {
        match self {
            Self::Tiny => 1,
            Self::Mla => 2,
            Self::Full => 3,
            Self::Hybrid => 4,
            // Every sixth layer of Gemma 3 has full attention.
            Self::Sliding => 6,
            Self::Wide => 16,
        }
    }

    fn heads(self) -> Heads {
        let (queries, keys, size) = match self {
            // A quantized cache needs blocks of 32.
            Self::Tiny => (1, 1, 32),
            Self::Full | Self::Sliding => (4, 2, 64),
            Self::Mla => (4, 1, KEY_RANK + ROPE),
            Self::Hybrid => (4, 1, 64),
            Self::Wide => (32, 32, 256),
        };
        Heads { queries, keys, size }
    }
}

/// The ranks of a latent attention's queries and keys, and the sizes of its heads before they are joined.
const QUERY_RANK: usize = 64;
const KEY_RANK: usize = 128;
const LATENT_KEY: usize = 64;
const LATENT_VALUE: usize = 64;

/// The sizes of a recurrent layer (gated delta net).
const STATE: usize = 64;
const STATE_KEYS: usize = 2;
const STATE_VALUES: usize = 4;
const CONVOLUTION: usize = 4;

/// Adds the network's metadata and layers to the file.
///
/// If `passes`, the last matrix of each part is zero, so an embedding passes all layers unchanged, while the prompt cache
/// is filled as ever.
pub fn add(gguf: &mut Gguf, shape: Shape, passes: bool, random: &mut Random) {
    let architecture = shape.architecture();
    let mut network = Network { gguf, shape, passes, random, layer: 0 };
    network.gguf.set("general.architecture", Value::String(architecture.to_owned()));
    network.describe();
    network.norm("output_norm", shape.width());
    for layer in 0..shape.layers() {
        network.layer = layer;
        network.block();
    }
}

struct Network<'a> {
    gguf: &'a mut Gguf,
    shape: Shape,
    passes: bool,
    random: &'a mut Random,
    layer: usize,
}

impl Network<'_> {
    fn describe(&mut self) {
        let (shape, heads) = (self.shape, self.shape.heads());
        let (values, rope) = match shape {
            Shape::Mla => (KEY_RANK, ROPE),
            Shape::Hybrid | Shape::Sliding => (heads.size, ROPE),
            // This architecture gives all dimensions a position.
            Shape::Tiny | Shape::Full | Shape::Wide => (heads.size, heads.size),
        };
        let mut numbers = vec![
            ("embedding_length", shape.width()),
            ("block_count", shape.layers()),
            ("feed_forward_length", FEED_FORWARD),
            ("attention.head_count", heads.queries),
            ("attention.head_count_kv", heads.keys),
            ("attention.key_length", heads.size),
            ("attention.value_length", values),
            ("rope.dimension_count", rope),
        ];
        match shape {
            Shape::Tiny | Shape::Full | Shape::Wide => {}
            Shape::Sliding => numbers.push(("attention.sliding_window", 512)),
            Shape::Mla => numbers.extend([
                ("attention.q_lora_rank", QUERY_RANK),
                ("attention.kv_lora_rank", KEY_RANK),
                ("attention.key_length_mla", LATENT_KEY + ROPE),
                ("attention.value_length_mla", LATENT_VALUE),
                // All layers are dense.
                ("leading_dense_block_count", shape.layers()),
                ("expert_feed_forward_length", FEED_FORWARD),
                ("expert_shared_count", 1),
            ]),
            Shape::Hybrid => numbers.extend([
                ("ssm.conv_kernel", CONVOLUTION),
                ("ssm.inner_size", STATE * STATE_VALUES),
                ("ssm.state_size", STATE),
                ("ssm.time_step_rank", STATE_VALUES),
                ("ssm.group_count", STATE_KEYS),
            ]),
        }
        let key = |name: &str| format!("{}.{name}", shape.architecture());
        for (name, value) in numbers {
            self.gguf.set(&key(name), Value::U32(value as u32));
        }
        if shape == Shape::Hybrid {
            self.gguf.set(&key("rope.dimension_sections"), Value::I32s(vec![6, 5, 5, 0]));
        }
        self.gguf.set(&key("attention.layer_norm_rms_epsilon"), Value::F32(1e-6));
        self.gguf.set("general.file_type", Value::U32(0)); // all F32
    }

    /// Adds one layer: attention or a recurrence, and a feed-forward part.
    fn block(&mut self) {
        let (width, heads) = (self.shape.width(), self.shape.heads());
        self.norm("attn_norm", width);
        match self.shape {
            Shape::Mla => self.latent_attention(width, heads.queries),
            Shape::Hybrid if !(self.layer + 1).is_multiple_of(4) => self.recurrence(width),
            _ => self.attention(width, &heads),
        }
        // Some architectures normalize the results of a layer's parts too.
        let norms: &[&str] = match self.shape {
            Shape::Sliding => &["post_attention_norm", "ffn_norm", "post_ffw_norm"],
            Shape::Hybrid => &["post_attention_norm"],
            _ => &["ffn_norm"],
        };
        norms.iter().for_each(|name| self.norm(name, width));
        self.matrix("ffn_gate", &[width, FEED_FORWARD]);
        self.matrix("ffn_up", &[width, FEED_FORWARD]);
        self.last("ffn_down", &[FEED_FORWARD, width]);
    }

    fn attention(&mut self, width: usize, heads: &Heads) {
        // The queries of Qwen3.5 come with a gate.
        let gated = if self.shape == Shape::Hybrid { 2 } else { 1 };
        self.matrix("attn_q", &[width, heads.queries * heads.size * gated]);
        self.matrix("attn_k", &[width, heads.keys * heads.size]);
        self.matrix("attn_v", &[width, heads.keys * heads.size]);
        self.last("attn_output", &[heads.queries * heads.size, width]);
        if matches!(self.shape, Shape::Hybrid | Shape::Sliding) {
            self.norm("attn_q_norm", heads.size);
            self.norm("attn_k_norm", heads.size);
        }
    }

    fn latent_attention(&mut self, width: usize, heads: usize) {
        self.norm("attn_q_a_norm", QUERY_RANK);
        self.norm("attn_kv_a_norm", KEY_RANK);
        self.matrix("attn_q_a", &[width, QUERY_RANK]);
        self.matrix("attn_q_b", &[QUERY_RANK, heads * (LATENT_KEY + ROPE)]);
        self.matrix("attn_kv_a_mqa", &[width, KEY_RANK + ROPE]);
        self.matrix("attn_k_b", &[LATENT_KEY, KEY_RANK, heads]);
        self.matrix("attn_v_b", &[KEY_RANK, LATENT_VALUE, heads]);
        self.last("attn_output", &[heads * LATENT_VALUE, width]);
    }

    fn recurrence(&mut self, width: usize) {
        let (keys, values) = (STATE * STATE_KEYS, STATE * STATE_VALUES);
        self.matrix("attn_qkv", &[width, 2 * keys + values]);
        self.matrix("attn_gate", &[width, values]);
        self.matrix("ssm_conv1d", &[CONVOLUTION, 2 * keys + values]);
        self.constant("ssm_dt.bias", STATE_VALUES, 0.0);
        self.constant("ssm_a", STATE_VALUES, -0.05);
        self.matrix("ssm_beta", &[width, STATE_VALUES]);
        self.matrix("ssm_alpha", &[width, STATE_VALUES]);
        self.norm("ssm_norm", STATE);
        self.last("ssm_out", &[values, width]);
    }

    fn norm(&mut self, name: &str, length: usize) {
        self.constant(&format!("{name}.weight"), length, 1.0);
    }

    fn constant(&mut self, name: &str, length: usize, value: f32) {
        let name = self.name(name);
        self.gguf.tensors.push(Tensor::vector(&name, vec![value; length]));
    }

    fn matrix(&mut self, name: &str, dimensions: &[usize]) {
        let name = self.name(&format!("{name}.weight"));
        self.gguf.tensors.push(self.random.tensor(&name, dimensions));
    }

    /// Adds the last matrix of a layer's part.
    fn last(&mut self, name: &str, dimensions: &[usize]) {
        if self.passes {
            let name = self.name(&format!("{name}.weight"));
            self.gguf.tensors.push(Tensor::new(&name, dimensions, vec![0.0; dimensions.iter().product()]));
        } else {
            self.matrix(name, dimensions);
        }
    }

    /// Returns a tensor's full name, which for all but the output's contains the layer.
    fn name(&self, name: &str) -> String {
        if name.starts_with("output") { name.to_owned() } else { format!("blk.{}.{name}", self.layer) }
    }
}
