//! What is written is read back; what is damaged is refused, and nothing panics.

use proptest::prelude::*;

use super::{Attributes, Message, Protocol, Reply, Socket};

#[derive(Debug, Clone)]
enum Tree {
    Bytes(u16, Vec<u8>),
    Nested(u16, Vec<Tree>),
}

fn trees() -> impl Strategy<Value = Vec<Tree>> {
    let leaf = (0u16..0x3fff, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(kind, value)| Tree::Bytes(kind, value));
    let tree = leaf.prop_recursive(4, 40, 6, |inner| {
        (0u16..0x3fff, prop::collection::vec(inner, 0..6)).prop_map(|(kind, within)| Tree::Nested(kind, within))
    });
    prop::collection::vec(tree, 0..8)
}

fn write(message: Message, trees: &[Tree]) -> Message {
    trees.iter().fold(message, |m, tree| match tree {
        Tree::Bytes(kind, value) => m.bytes(*kind, value),
        Tree::Nested(kind, within) => m.nested(*kind, |m| write(m, within)),
    })
}

fn is_read_back(attributes: Attributes<'_>, trees: &[Tree]) {
    let found: Vec<_> = attributes.collect();
    assert_eq!(found.len(), trees.len());
    for (attribute, tree) in found.into_iter().zip(trees) {
        match tree {
            Tree::Bytes(kind, value) => assert_eq!((attribute.kind, attribute.value), (*kind, value.as_slice())),
            Tree::Nested(kind, within) => {
                assert_eq!(attribute.kind, *kind);
                is_read_back(attribute.nested(), within);
            }
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(trees in trees(), fixed in prop::collection::vec(any::<u8>(), 0..20), kind: u16, sequence: u32) {
        let message = write(Message::new(kind, 0).fixed(&fixed), &trees);
        let bytes = message.encode(5, sequence);
        prop_assert_eq!(bytes.len() % 4, 0);
        let replies = Reply::all(&[bytes.clone(), bytes].concat()).expect("two whole messages");
        prop_assert_eq!(replies.len(), 2);
        for reply in &replies {
            prop_assert_eq!((reply.kind, reply.flags, reply.sequence), (kind, 5, sequence));
            prop_assert_eq!(&reply.body[..fixed.len()], &fixed[..]);
            is_read_back(reply.attributes(fixed.len()), &trees);
        }
    }

    #[test]
    fn damage_never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..200), trees in trees(), at: usize, to: u8) {
        let mut whole = write(Message::new(1, 0), &trees).encode(0, 1);
        let length = whole.len();
        whole[at % length] = to;
        whole.truncate(to as usize * length / 255);
        bytes.extend(&whole);
        for input in [&bytes, &whole] {
            let _ = Reply::all(input);
            walk(Attributes::new(input), 0);
        }
    }
}

fn walk(attributes: Attributes<'_>, depth: usize) {
    for attribute in attributes {
        let _ = (attribute.be16(), attribute.be32(), attribute.be64(), attribute.text());
        if depth < 8 {
            walk(attribute.nested(), depth + 1);
        }
    }
}

#[test]
fn an_attribute_that_its_length_cannot_tell_is_not_sent() {
    let message = Message::new(1, 0).nested(1, |m| m.bytes(2, &vec![0; 70_000]));
    assert!(message.is_overlong());
    assert!(!Message::new(1, 0).nested(1, |m| m.bytes(2, &vec![0; 60_000])).is_overlong());
}

#[test]
fn the_kernel_answers_lists_and_refuses_in_words() {
    const GET_LINK: u16 = 18;
    const DELETE_QDISC: u16 = 37;
    let mut socket = Socket::open(Protocol::Route).expect("a socket");
    let links = socket.list(&Message::new(GET_LINK, 0).fixed(&[0; 16])).expect("the links");
    let names: Vec<_> = links.iter().filter_map(|l| l.attributes(16).get(3)?.text()).collect();
    assert!(names.contains(&"lo"), "{names:?}");

    let nowhere = [&[0; 4][..], &i32::MAX.to_ne_bytes(), &[0; 12]].concat();
    let error = socket.request(Message::new(DELETE_QDISC, 0).fixed(&nowhere)).expect_err("no such device");
    assert!([rustix::io::Errno::NODEV, rustix::io::Errno::PERM].contains(&error.errno), "{error}");

    // Two at once: each is answered, the first refusal is told, and the socket is in step afterwards.
    let get = |index: i32| Message::new(GET_LINK, 0).fixed(&[&[0; 4][..], &index.to_ne_bytes(), &[0; 8]].concat());
    let error = socket.together(vec![get(i32::MAX), get(1)]).expect_err("no such link");
    assert_eq!(error.errno, rustix::io::Errno::NODEV, "{error}");
    assert_eq!(socket.request(get(1)).expect("lo").len(), 1);
}
