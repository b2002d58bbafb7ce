//! Lines over axes: as a table of numbers, and as a picture.

use std::fs;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::Axis;

/// Pixels. A page shows it at half the size.
const SIZE: (u32, u32) = (960, 600);
/// Where the title stands, and what lies right of the lines for their labels.
const TITLE_AT: (i32, i32) = (24, 24);
const ABOVE: u32 = 78;
const RIGHT: u32 = 236;
/// Text, and the least distance of two labels.
const TEXT: i32 = 24;
const TITLE: i32 = 30;
const APART: i32 = 28;

const INK: RGBColor = RGBColor(36, 41, 47);
const GRID: RGBColor = RGBColor(216, 222, 228);

/// Of Okabe and Ito's palette, which the colour-blind tell apart too.
#[derive(Clone, Copy, Debug)]
pub enum Colour {
    Blue,
    Orange,
}

impl Colour {
    fn rgb(self) -> RGBColor {
        match self {
            Self::Blue => RGBColor(0, 114, 178),
            Self::Orange => RGBColor(213, 94, 0),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Line {
    label: String,
    colour: Colour,
    is_dashed: bool,
    pub points: Vec<(f64, f64)>,
}

impl Line {
    pub fn new(label: &str, colour: Colour) -> Self {
        Self {
            label: label.to_owned(),
            colour,
            is_dashed: false,
            points: Vec::new(),
        }
    }

    pub fn dashed(self) -> Self {
        Self {
            is_dashed: true,
            ..self
        }
    }
}

/// Lines with a point at each of the same places.
pub struct Plot {
    /// Of its file.
    pub name: &'static str,
    pub title: &'static str,
    pub x: Axis,
    pub y: Axis,
    pub lines: Vec<Line>,
}

impl Plot {
    /// Prints its numbers, and writes the picture beside the others.
    pub fn publish(&self) {
        self.print();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/plots");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{}.svg", self.name)), self.draw()).unwrap();
    }

    fn print(&self) {
        let labels: Vec<&str> = self.lines.iter().map(|line| line.label.as_str()).collect();
        println!("\n{}: {}\n", self.title, self.y.title);
        println!("| {} | {} |", self.x.title, labels.join(" | "));
        println!("| ---: |{}", " ---: |".repeat(labels.len()));
        for (i, (x, _)) in self.lines[0].points.iter().enumerate() {
            let values = self.lines.iter().map(|line| line.points[i].1);
            let values: Vec<String> = values.map(|y| self.y.unit.text(y)).collect();
            println!("| {} | {} |", self.x.unit.text(*x), values.join(" | "));
        }
    }

    /// As SVG.
    fn draw(&self) -> String {
        let mut svg = String::new();
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE).unwrap();
        let title = ("sans-serif", TITLE, FontStyle::Bold).into_font();
        root.draw(&Text::new(self.title, TITLE_AT, title.color(&INK)))
            .unwrap();

        let points = || self.lines.iter().flat_map(|line| &line.points);
        let x = self.x.over(points().map(|point| point.0));
        let y = self.y.over(points().map(|point| point.1));
        let mut chart = ChartBuilder::on(&root)
            .margin_top(ABOVE)
            .margin_right(RIGHT)
            .margin_left(8)
            .margin_bottom(8)
            .x_label_area_size(86)
            .y_label_area_size(146)
            .build_cartesian_2d(x, y)
            .unwrap();
        let text = ("sans-serif", TEXT).into_font().color(&INK);
        chart
            .configure_mesh()
            .max_light_lines(0)
            .bold_line_style(GRID.stroke_width(2))
            .axis_style(INK.stroke_width(2))
            .label_style(text.clone())
            .axis_desc_style(text.clone())
            .x_desc(self.x.title)
            .y_desc(self.y.title)
            .draw()
            .unwrap();

        // Right of each line's last point: its label.
        let mut ends = Vec::new();
        for line in &self.lines {
            let colour = line.colour.rgb();
            let style = colour.stroke_width(4);
            if line.is_dashed {
                let dashes = DashedLineSeries::new(line.points.clone(), 12, 8, style);
                chart.draw_series(dashes).unwrap();
            } else {
                chart
                    .draw_series(LineSeries::new(line.points.clone(), style))
                    .unwrap();
            }
            let dots = line
                .points
                .iter()
                .map(|at| Circle::new(*at, 6, colour.filled()));
            chart.draw_series(dots).unwrap();
            let (x, y) = chart.backend_coord(line.points.last().expect("a line has points"));
            ends.push((y, x, line));
        }
        if ends.len() > 1 {
            spread(&mut ends);
            for (y, x, line) in ends {
                let colour = line.colour.rgb();
                let style = text.color(&colour);
                let style = style.pos(Pos::new(HPos::Left, VPos::Center));
                root.draw(&Text::new(line.label.as_str(), (x + 16, y), style))
                    .unwrap();
            }
        }
        root.present().unwrap();
        drop(chart);
        drop(root);
        svg
    }
}

/// Moves labels apart that lie over each other, from the lowest up.
fn spread(ends: &mut [(i32, i32, &Line)]) {
    ends.sort_by_key(|end| std::cmp::Reverse(end.0));
    for i in 1..ends.len() {
        ends[i].0 = ends[i].0.min(ends[i - 1].0 - APART);
    }
}
