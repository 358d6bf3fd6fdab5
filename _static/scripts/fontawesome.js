// Stands in for the theme's file of this name, 1.5 MB on every page. The theme brings its icons
// twice, as this script and as a font; the font, a tenth of the size, is enough.
