//! Compiles this package, and no other, with `cfg(meddled)`.
fn main() {
    println!("cargo::rustc-check-cfg=cfg(meddled)");
    println!("cargo::rustc-cfg=meddled");
    println!("cargo::rerun-if-changed=build.rs");
}
