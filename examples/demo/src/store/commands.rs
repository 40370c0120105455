//! What the feature store understands.

use std::collections::HashMap;

use super::resp::Reply;

/// Memory for keys and values together, before a SET is refused.
const MEMORY_MAX_BYTES: usize = 16 << 20;

/// What an entry costs beside its bytes, roughly.
const ENTRY_BYTES: usize = 64;

/// Keys and values, bounded in memory.
#[derive(Default)]
pub(super) struct Store {
    values: HashMap<Vec<u8>, Vec<u8>>,
    bytes: usize,
    commands: u64,
}

impl Store {
    /// Puts a value in at the start.
    pub(super) fn seed(&mut self, key: &str, value: &str) {
        self.set(key.as_bytes(), value.as_bytes());
    }

    /// Executes one request and appends its answer. Says whether the client asked to end.
    pub(super) fn execute(&mut self, request: &[Vec<u8>], answers: &mut Vec<u8>) -> bool {
        self.commands += 1;
        let Some((name, arguments)) = request.split_first() else {
            return false;
        };
        let name = String::from_utf8_lossy(name).to_ascii_uppercase();
        self.reply(&name, arguments).write(answers);
        name == "QUIT"
    }

    fn reply(&mut self, name: &str, arguments: &[Vec<u8>]) -> Reply {
        match (name, arguments) {
            ("PING", []) => Reply::Simple("PONG"),
            ("PING" | "ECHO", [text]) => Reply::Bulk(Some(text.clone())),
            ("GET", [key]) => self.get(key),
            ("MGET", [_, ..]) => Reply::Array(arguments.iter().map(|key| self.get(key)).collect()),
            ("SET", [key, value]) => self.set(key, value),
            ("SET", [_, _, ..]) => Reply::Error("ERR syntax error: SET takes no options here".into()),
            ("DEL", [_, ..]) => Reply::Integer(arguments.iter().filter(|key| self.delete(key)).count()),
            ("INFO", _) => self.info(),
            // redis-cli asks for the documentation of all commands when it starts.
            ("COMMAND", _) => Reply::Array(Vec::new()),
            ("QUIT", _) => Reply::Simple("OK"),
            ("PING" | "ECHO" | "GET" | "MGET" | "SET" | "DEL", _) => {
                Reply::Error(format!("ERR wrong number of arguments for '{}' command", name.to_ascii_lowercase()))
            }
            _ => Reply::Error(format!(
                "ERR unknown command '{}'; known are PING, ECHO, GET, MGET, SET, DEL, INFO, COMMAND, QUIT",
                name.chars().take(64).collect::<String>()
            )),
        }
    }

    fn get(&self, key: &[u8]) -> Reply {
        Reply::Bulk(self.values.get(key).cloned())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Reply {
        let freed = self.values.get(key).map_or(0, |old| cost(key, old));
        let bytes = self.bytes - freed + cost(key, value);
        if bytes > MEMORY_MAX_BYTES {
            return Reply::Error("OOM command not allowed when used memory > 'maxmemory'.".into());
        }
        self.bytes = bytes;
        self.values.insert(key.to_vec(), value.to_vec());
        Reply::Simple("OK")
    }

    fn delete(&mut self, key: &[u8]) -> bool {
        let Some(old) = self.values.remove(key) else {
            return false;
        };
        self.bytes -= cost(key, &old);
        true
    }

    fn info(&self) -> Reply {
        let info = format!(
            "# Server\r\nserver_name:chaos-demo-store\r\nprocess_id:{}\r\n\
             # Memory\r\nused_memory:{}\r\nmaxmemory:{MEMORY_MAX_BYTES}\r\n\
             # Stats\r\ntotal_commands_processed:{}\r\n\
             # Keyspace\r\ndb0:keys={}\r\n",
            std::process::id(),
            self.bytes,
            self.commands,
            self.values.len(),
        );
        Reply::Bulk(Some(info.into_bytes()))
    }
}

fn cost(key: &[u8], value: &[u8]) -> usize {
    key.len() + value.len() + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use super::{super::resp::BULK_MAX_BYTES, *};

    fn ask(store: &mut Store, words: &[&[u8]]) -> String {
        let request: Vec<_> = words.iter().map(|word| word.to_vec()).collect();
        let mut answers = Vec::new();
        store.execute(&request, &mut answers);
        String::from_utf8(answers).unwrap()
    }

    #[test]
    fn values_are_set_read_and_deleted() {
        let mut store = Store::default();
        assert_eq!(ask(&mut store, &[b"set", b"k", b"v"]), "+OK\r\n");
        assert_eq!(ask(&mut store, &[b"GET", b"k"]), "$1\r\nv\r\n");
        assert_eq!(ask(&mut store, &[b"MGET", b"k", b"x"]), "*2\r\n$1\r\nv\r\n$-1\r\n");
        assert_eq!(ask(&mut store, &[b"DEL", b"k", b"x"]), ":1\r\n");
        assert_eq!(ask(&mut store, &[b"GET", b"k"]), "$-1\r\n");
        assert_eq!(store.bytes, 0);
    }

    #[test]
    fn mistakes_are_named() {
        let mut store = Store::default();
        assert_eq!(ask(&mut store, &[b"get"]), "-ERR wrong number of arguments for 'get' command\r\n");
        assert!(ask(&mut store, &[b"FL\r\nY"]).starts_with("-ERR unknown command 'FL  Y'"));
        assert!(ask(&mut store, &[b"SET", b"k", b"v", b"NX"]).starts_with("-ERR syntax error"));
    }

    #[test]
    fn memory_is_bounded() {
        let mut store = Store::default();
        let value = vec![b'x'; BULK_MAX_BYTES];
        let full = (0..100).find(|key: &u32| ask(&mut store, &[b"SET", &key.to_be_bytes(), &value]).starts_with("-OOM"));
        assert_eq!(full, Some(31));
        assert!(store.bytes <= MEMORY_MAX_BYTES);
        assert_eq!(ask(&mut store, &[b"SET", &0_u32.to_be_bytes(), b"small"]), "+OK\r\n");
    }
}
