//! Section 4: pixel placement and document shape.

use mailtrail_core::config::PixelPlacement::Bottom;

use super::support::pixel;

#[test]
fn case_52_the_pixel_goes_before_the_end_of_the_body() {
    pixel(
        Bottom,
        "<html><body><p>x</p></body></html>",
        "<html><body><p>x</p>{pixel}</body></html>",
    );
}
