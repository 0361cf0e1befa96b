//! HTML pages, measured on a desk, on a phone, in the dark and on paper.

use serde_json::json;

use crate::{
    browser::{DARK, DESK, PHONE, html, measure, named, print, sheets},
    gallery::reports,
};

#[test]
fn no_page_scrolls_sideways() {
    for report in reports() {
        for screen in [DESK, PHONE] {
            let found = measure(
                &html(&report),
                screen,
                "const root=d.documentElement;
                 const out=[...d.querySelectorAll('h1,h2,p,li,dl,dd,dt,.scroll,figure,footer')].filter(e=>{
                   const r=e.getBoundingClientRect();return r.right>root.clientWidth+.5||r.left<-.5||(e.matches('dd,dt,p,li')&&e.scrollWidth>e.clientWidth+1)});
                 return {over:root.scrollWidth-root.clientWidth,out:out.map(e=>e.outerHTML.slice(0,80))}",
            );
            let (name, width) = (report.name, screen.width);
            assert_eq!(found, json!({"over": 0, "out": []}), "{name} at {width}");
        }
    }
}

#[test]
fn head_and_first_column_stay_in_the_frame_of_a_wide_table() {
    for (name, screen) in [("sixty", DESK), ("sixty", PHONE), ("money", PHONE)] {
        let found = measure(
            &html(&named(name)),
            screen,
            "const f=d.querySelector('.scroll');f.scrollLeft=250;f.scrollTop=300;
             const b=f.getBoundingClientRect(),box=s=>f.querySelector(s).getBoundingClientRect();
             const corner=box('thead th'),cell=box('tbody tr:nth-child(12)>:first-child'),head=box('thead th:nth-child(5)');
             const seen=d.elementFromPoint(cell.left+8,cell.top+8);
             return {scrolls:[f.scrollLeft,f.scrollTop],corner:[corner.left-b.left,corner.top-b.top],
               cell:cell.left-b.left,head:head.top-b.top,height:b.height<=w.innerHeight,
               share:cell.width<b.width/2}",
        );
        let expected = json!({"scrolls": [250, 300], "corner": [0, 0], "cell": 0, "head": 0, "height": true, "share": true});
        assert_eq!(found, expected, "{name} at {}", screen.width);
    }
}

/// Cells whose text has more lines than it says itself, though it is short.
const BROKEN: &str = "const broken=[];for(const cell of d.querySelectorAll('thead th,tbody td')){
  const range=d.createRange();range.selectNodeContents(cell);
  const lines=new Set([...range.getClientRects()].map(r=>Math.round(r.top)));
  const ascii=/^[ -~]*$/.test(cell.textContent);
  if(cell.textContent.length<=(ascii?24:12)&&!cell.textContent.includes('\\n')&&lines.size>1)broken.push(cell.textContent)}
  return broken";

#[test]
fn short_texts_and_headings_stay_in_one_line() {
    for name in ["ten", "sixty", "money", "japanese", "arabic", "long"] {
        for screen in [DESK, PHONE] {
            let broken = measure(&html(&named(name)), screen, BROKEN);
            assert_eq!(broken, json!([]), "{name} at {}", screen.width);
        }
    }
}

#[test]
fn long_texts_have_lines_that_can_be_read() {
    for name in ["long", "japanese", "arabic"] {
        for screen in [DESK, PHONE] {
            let narrow = measure(
                &html(&named(name)),
                screen,
                "return [...d.querySelectorAll('td')].filter(e=>e.textContent.length>60).map(e=>e.clientWidth).filter(x=>x<200||x>700)",
            );
            assert_eq!(narrow, json!([]), "{name} at {}", screen.width);
        }
    }
}

#[test]
fn figures_of_a_row_have_letters_of_one_size() {
    for screen in [DESK, PHONE] {
        let sizes = measure(
            &html(&named("money")),
            screen,
            "return new Set([...d.querySelectorAll('dd')].map(e=>w.getComputedStyle(e).fontSize)).size",
        );
        assert_eq!(sizes, json!(1), "at {}", screen.width);
    }
}

#[test]
fn charts_fit_a_phone_with_letters_that_can_be_read() {
    for (screen, shown) in [(DESK, "desk"), (PHONE, "phone")] {
        let found = measure(
            &html(&named("charts")),
            screen,
            "const seen=[...d.querySelectorAll('svg')].filter(e=>e.getBoundingClientRect().width);
             const sizes=seen.map(e=>e.getBoundingClientRect().width/e.viewBox.baseVal.width*11);
             const out=seen.flatMap(e=>{const b=e.getBoundingClientRect();return [...e.querySelectorAll('text')].filter(t=>{
               const r=t.getBoundingClientRect();return r.left<b.left-2||r.right>b.right+2||r.top<b.top-2||r.bottom>b.bottom+2}).map(t=>t.textContent)});
             const over=seen.flatMap(e=>{const boxes=[...e.querySelectorAll('text')].map(t=>[t.textContent,t.getBoundingClientRect()]);
               return boxes.flatMap(([a,x],i)=>boxes.slice(i+1).filter(([b,y])=>x.left<y.right-2&&y.left<x.right-2&&x.top<y.bottom-3&&y.top<x.bottom-3).map(([b])=>a+' | '+b))});
             return {screens:[...new Set(seen.map(e=>e.getAttribute('class')))],count:seen.length,
               small:sizes.filter(x=>x<9.5),out,over,scroll:seen.filter(e=>e.getBoundingClientRect().width>e.parentNode.clientWidth+1).length}",
        );
        let expected = json!({"screens": [shown], "count": 6, "small": [], "out": [], "over": [], "scroll": 0});
        assert_eq!(found, expected, "at {}", screen.width);
    }
}

#[test]
fn dark_pages_are_dark_and_can_be_read() {
    let found = measure(
        &html(&named("charts")),
        DARK,
        "const light=c=>{const [r,g,b]=c.match(/[\\d.]+/g).map(Number);return (r*2+g*5+b)/8};
         const style=s=>w.getComputedStyle(d.querySelector(s));
         return {paper:light(style('body').backgroundColor)<60,ink:light(style('h1').color)>200,
           label:light(style('svg.desk .t').fill)>200,head:light(style('thead th').backgroundColor)<80}",
    );
    let expected = json!({"paper": true, "ink": true, "label": true, "head": true});
    assert_eq!(found, expected);
}

#[test]
fn reports_in_arabic_begin_on_the_right_side() {
    for screen in [DESK, PHONE] {
        let found = measure(
            &html(&named("arabic")),
            screen,
            "const heads=[...d.querySelectorAll('thead th')].map(e=>e.getBoundingClientRect().right);
             const sides=new Set();for(const cell of d.querySelectorAll('tbody td:nth-child(2)')){
               const range=d.createRange();range.selectNodeContents(cell);const r=range.getBoundingClientRect();
               if(r.width)sides.add(Math.round(cell.getBoundingClientRect().right-r.right))}
             const title=d.createRange();title.selectNodeContents(d.querySelector('.meta'));
             return {dir:d.documentElement.dir,falling:heads.every((x,i)=>!i||x<heads[i-1]),sides:sides.size,
               meta:Math.round(d.querySelector('h1').getBoundingClientRect().right-title.getBoundingClientRect().right)}",
        );
        let expected = json!({"dir": "rtl", "falling": true, "sides": 1, "meta": 0});
        assert_eq!(found, expected, "at {}", screen.width);
    }
}

#[test]
fn nothing_is_lost_on_paper() {
    for report in reports() {
        let page = html(&report);
        let name = report.name;
        let printed = sheets(&print(&page));
        let (mut count, margin) = (0, 51.0);
        for (index, sheet) in printed.iter().enumerate() {
            for word in &sheet.words {
                assert!(
                    word.left >= margin - 2.0
                        && word.right <= sheet.width - margin + 2.0
                        && word.bottom <= sheet.height,
                    "{name}, page {}: {word:?} of {}",
                    index + 1,
                    sheet.width
                );
            }
            // More than the page's header and footer.
            let body = |top: f64| top > margin - 4.0 && top < sheet.height - margin;
            let words = sheet.words.iter().filter(|word| body(word.top));
            let words = words.count();
            assert!(words > 0, "{name}: page {} is empty", index + 1);
            count += words;
        }
        let cells = measure(
            &page,
            DESK,
            "return [...d.querySelectorAll('table.wide td')].map(e=>e.textContent.split(/\\s+/).filter(t=>t).length).reduce((a,b)=>a+b,0)",
        );
        let cells = usize::try_from(cells.as_u64().unwrap()).unwrap();
        // Poppler parts words where lines end, and joins some of Japanese and Arabic.
        if !matches!(name, "japanese" | "arabic") {
            assert!(count >= cells, "{name}: {count} words of {cells} in cells");
        }
    }
}

#[test]
fn on_paper_heads_are_repeated_and_wide_tables_lie_or_have_headings_in_each_row() {
    let ten = sheets(&print(&html(&named("ten"))));
    assert!(ten.len() > 2, "{}", ten.len());
    for sheet in &ten {
        assert!(sheet.width > sheet.height, "it stands: {}", sheet.width);
        assert_eq!(sheet.word("order_number").left, ten[0].word("A-10000").left);
        sheet.word("warehouse");
    }
    // The title, the date and the pages are said once on each page.
    for (index, sheet) in ten.iter().enumerate() {
        let titles = sheet.words.iter().filter(|word| word.text == "Ten").count();
        let dates = sheet.words.iter().filter(|word| word.text == "2026");
        assert_eq!(titles, 1, "page {}", index + 1);
        assert_eq!(dates.count(), 1 + usize::from(index == 0));
    }
    let sixty = sheets(&print(&html(&named("sixty"))));
    for sheet in &sixty {
        let count = |text: &str| sheet.words.iter().filter(|word| word.text == text).count();
        let rows = count("order_number");
        assert!(rows > 0);
        for heading in ["customer_id_6", "warehouse_6", "discount_rate_3"] {
            assert_eq!(count(heading), rows, "{heading}");
        }
    }
    let money = sheets(&print(&html(&named("money"))));
    assert!(money.iter().all(|sheet| sheet.width < sheet.height));
    // Four figures stand side by side.
    let figures = ["Umsatz", "Verlust", "Marge", "Posten"].map(|text| money[0].word(text).top);
    assert!(figures.iter().all(|top| *top == figures[0]), "{figures:?}");
}
