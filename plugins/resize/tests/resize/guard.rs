//! What stands between a decoder that panics and the task. No file is known that gets as far, so it is tried by itself.

#[path = "../../src/guard.rs"]
mod tried;

use tried::caught;

#[test]
fn a_panic_is_an_absent_result() {
    assert_eq!(caught(|| 7), Some(7));
    assert_eq!(caught(|| panic!("text")), None::<u8>);
    assert_eq!(caught(|| panic!("{} text", "formatted")), None::<u8>);
    assert_eq!(caught(|| std::panic::panic_any(7)), None::<u8>);
    let rows: Vec<u8> = Vec::new();
    assert_eq!(caught(|| rows[3]), None, "as it happens in decoders");
}
