"""The checks of each chapter, one module per chapter, named like its folder without the number."""
