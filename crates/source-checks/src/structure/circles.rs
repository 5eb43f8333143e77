//! Import circles between files.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::imports::Import;

/// Files that import each other, directly or through others.
#[derive(Debug, PartialEq, Eq)]
pub struct Circle {
    /// A shortest way around, without its first file repeated at the end.
    pub way: Vec<usize>,
    /// Number of files that lie on some circle with these.
    pub size: usize,
    /// One import for each step of the way.
    pub imports: Vec<Import>,
}

type Graph = BTreeMap<usize, BTreeMap<usize, Import>>;

/// Returns one circle for each group of files that import each other.
pub fn circles(imports: &[Import]) -> Vec<Circle> {
    let mut graph = Graph::new();
    for import in imports {
        let edges = graph.entry(import.from).or_default();
        edges.entry(import.to).or_insert_with(|| import.clone());
    }
    let reachable: BTreeMap<usize, BTreeSet<usize>> =
        graph.keys().map(|file| (*file, reachable(&graph, *file))).collect();
    let mut seen = BTreeSet::new();
    let mut circles = Vec::new();
    for (file, others) in &reachable {
        if !others.contains(file) || seen.contains(file) {
            continue;
        }
        let group: BTreeSet<usize> = others
            .iter()
            .copied()
            .filter(|other| reachable.get(other).is_some_and(|back| back.contains(file)))
            .collect();
        let ways = group.iter().filter_map(|start| shortest_way(&graph, *start));
        if let Some(way) = ways.min_by_key(Vec::len) {
            let next = |index: usize| way[(index + 1) % way.len()];
            let imports = way.iter().enumerate().map(|(at, file)| graph[file][&next(at)].clone());
            circles.push(Circle { imports: imports.collect(), size: group.len(), way });
        }
        seen.extend(group);
    }
    circles
}

/// Returns the files that `start` imports, directly or through others.
fn reachable(graph: &Graph, start: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut queue = VecDeque::from([start]);
    while let Some(file) = queue.pop_front() {
        for next in graph.get(&file).into_iter().flatten().map(|(next, _)| *next) {
            if found.insert(next) {
                queue.push_back(next);
            }
        }
    }
    found
}

/// Returns a shortest way from a file back to itself.
fn shortest_way(graph: &Graph, start: usize) -> Option<Vec<usize>> {
    let mut previous: BTreeMap<usize, usize> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(file) = queue.pop_front() {
        for next in graph.get(&file).into_iter().flatten().map(|(next, _)| *next) {
            if next == start {
                let mut way = vec![file];
                while let Some(before) = previous.get(&way[way.len() - 1]) {
                    way.push(*before);
                }
                way.reverse();
                return Some(way);
            }
            if next != start && !previous.contains_key(&next) {
                previous.insert(next, file);
                queue.push_back(next);
            }
        }
    }
    None
}
