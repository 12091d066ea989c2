//! Line charts as SVG, for the documentation.
//!
//! By hand: three charts of one kind are less than a library for all kinds.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 380.0;
/// Room for the scale, the title, the legend.
const LEFT: f64 = 80.0;
const RIGHT: f64 = 210.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 40.0;
/// Readable on white and on black.
const COLOURS: [&str; 6] = ["#888888", "#2a9d55", "#3b82f6", "#e0703a", "#a855f7", "#d4a017"];

/// A chart: points in equal distances, one line for each series.
pub struct Chart {
    /// Above it, with the unit.
    pub title: &'static str,
    /// What stands below each place.
    pub places: Vec<String>,
    /// Names and values, one for each place.
    pub series: Vec<(String, Vec<f64>)>,
    /// Each step of the scale is ten times the last.
    pub logarithmic: bool,
}

impl Chart {
    /// The picture.
    pub fn svg(&self) -> String {
        let values = || self.series.iter().flat_map(|(_, values)| values.iter().copied());
        let highest = values().fold(1.0, f64::max);
        let lowest = values().fold(highest, f64::min).max(1e-3);
        let steps = if self.logarithmic {
            let (first, last) = (lowest.log10().floor(), highest.log10().ceil());
            std::iter::successors(Some(first), |step| Some(step + 1.0))
                .take_while(|step| *step <= last)
                .map(|step| 10_f64.powf(step))
                .collect()
        } else {
            even(highest)
        };
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#888888\">\n<text x=\"{LEFT}\" y=\"24\" font-size=\"15\">{}</text>\n",
            self.title
        );
        self.scale(&mut svg, &steps);
        for ((name, values), (number, colour)) in
            self.series.iter().zip(COLOURS.iter().cycle().enumerate())
        {
            let points = values.iter().enumerate().map(|(place, value)| {
                format!("{:.1},{:.1}", self.x(place), self.y(*value, &steps))
            });
            let points: Vec<String> = points.collect();
            let (x, y) = (WIDTH - RIGHT + 20.0, TOP + 10.0 + 20.0 * float(number));
            // Writing to a String cannot fail.
            writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n<text x=\"{x}\" y=\"{y}\" fill=\"{colour}\">{name}</text>",
                points.join(" ")
            )
            .ok();
        }
        svg + "</svg>\n"
    }

    /// Lines across, and what stands at both edges.
    fn scale(&self, svg: &mut String, steps: &[f64]) {
        for step in steps {
            let y = self.y(*step, steps);
            let (right, at) = (WIDTH - RIGHT, y + 4.0);
            writeln!(svg, "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#88888855\"/>\n<text x=\"{}\" y=\"{at:.1}\" text-anchor=\"end\">{step}</text>", LEFT - 8.0).ok();
        }
        for (place, label) in self.places.iter().enumerate() {
            let (x, y) = (self.x(place), HEIGHT - BOTTOM + 20.0);
            writeln!(svg, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{label}</text>")
                .ok();
        }
    }

    fn x(&self, place: usize) -> f64 {
        let gaps = float(self.places.len().max(2) - 1);
        LEFT + (WIDTH - LEFT - RIGHT) * float(place) / gaps
    }

    fn y(&self, value: f64, steps: &[f64]) -> f64 {
        let level = |value: f64| if self.logarithmic { value.max(1e-3).log10() } else { value };
        let low = steps.first().copied().map_or(0.0, level);
        let high = steps.last().copied().map_or(1.0, level);
        let part = (level(value) - low) / (high - low).max(f64::EPSILON);
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * part
    }
}

/// From nothing to beyond the highest, in four to ten round steps.
fn even(highest: f64) -> Vec<f64> {
    let power = 10_f64.powf(highest.log10().floor());
    let sizes = [0.1, 0.2, 0.5, 1.0].map(|part| part * power);
    let step = sizes.into_iter().find(|size| highest / size <= 10.0).unwrap_or(power);
    let last = (highest / step).ceil();
    let count = std::iter::successors(Some(0.0), |number| Some(number + 1.0));
    count.take_while(|number| *number <= last).map(|number| number * step).collect()
}

fn float(number: usize) -> f64 {
    u32::try_from(number).map_or(0.0, f64::from)
}
