//! Compiles this package, and no other, with `cfg(tampered)`.
fn main() {
    println!("cargo::rustc-check-cfg=cfg(tampered)");
    println!("cargo::rustc-cfg=tampered");
    println!("cargo::rerun-if-changed=build.rs");
}
