//! Compiles this package, and no other, with `cfg(quoit_delays)`.
fn main() {
    println!("cargo::rustc-check-cfg=cfg(quoit_delays)");
    println!("cargo::rustc-cfg=quoit_delays");
    println!("cargo::rerun-if-changed=build.rs");
}
