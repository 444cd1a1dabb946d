//! What is fuzzed: functions that take any bytes and panic where a promise is broken.

mod config;
mod console;
mod import;
mod pool;
mod requests;
mod responses;

/// One thing to fuzz.
pub struct Target {
    /// Its name, and that of its folder of seeds.
    pub name: &'static str,
    /// Tries one input; panics if it finds something.
    pub run: fn(&[u8]),
    /// Words that mean something there. Chance alone would hardly ever write them.
    pub words: &'static [&'static str],
}

/// All of them.
pub const TARGETS: [Target; 6] = [
    Target {
        name: "config",
        run: config::run,
        words: config::WORDS,
    },
    Target {
        name: "requests",
        run: requests::run,
        words: requests::WORDS,
    },
    Target {
        name: "responses",
        run: responses::run,
        words: responses::WORDS,
    },
    Target {
        name: "console",
        run: console::run,
        words: console::WORDS,
    },
    Target {
        name: "import",
        run: import::run,
        words: import::WORDS,
    },
    Target {
        name: "pool",
        run: pool::run,
        words: &[],
    },
];

/// Where an input holds several files, this byte stands between them.
const BETWEEN_FILES: u8 = 0x1c;

/// What the readers of configuration have to know of the places.
fn surroundings() -> liveproxyd::config::Surroundings {
    liveproxyd::config::Surroundings {
        local_core: "/omd/sites/x/tmp/run/live".into(),
        socket_dir: "/omd/sites/x/tmp/run/liveproxy".into(),
    }
}

/// Cuts bytes into pieces as a network might: `choice` decides where. Empty pieces occur.
fn cut(bytes: &[u8], choice: u8) -> Vec<&[u8]> {
    match choice {
        0 => return vec![bytes],
        1 => return bytes.chunks(1).collect(),
        _ => {}
    }
    let mut random = crate::random::Random::new(u64::from(choice));
    let longest = [2, 5, 17, 64, 300][usize::from(choice) % 5];
    let (mut pieces, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let length = random.below(longest) as usize;
        let (piece, behind) = rest.split_at(length.min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}
